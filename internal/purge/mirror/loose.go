package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// This file is about digests without a tag in the mirror: digests that a tag pointed at before it was
// copied again, and copies by digest whose Artifact was deleted. The registry lists the digests that
// nothing in it references, and deletes them in a collection, which keeps what a copy made meanwhile needs.

// places returns all places in the mirror that have a tag or an unreferenced digest.
func (p *Plan) places(tags map[string][]string) []string {
	all := slices.Collect(maps.Keys(tags))
	for repository := range p.unreferenced {
		all = append(all, pathOf(repository))
	}
	return all
}

// findLoose adds candidates for the digests that nothing in the registry,
// no Artifact and no use leads to. Their parts are deleted with them.
func (p *Plan) findLoose(ctx context.Context) {
	found := map[string][]digest.Digest{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(p.reader.Requests())
	for repository, unreferenced := range p.unreferenced {
		if p.seen.all(pathOf(repository)) != "" {
			continue
		}
		g.Go(func() error {
			starts := p.seen.starts(pathOf(repository))
			r := p.reader.Read(ctx, repository, slices.Concat(starts, unreferenced))
			mu.Lock()
			defer mu.Unlock()
			if r.Err != nil {
				p.Err = errors.Join(p.Err, fmt.Errorf("reading %s: %w", repository, r.Err))
				return nil
			}
			found[repository] = loose(r, starts, unreferenced)
			return nil
		})
	}
	_ = g.Wait() // the errors are in p.Err
	for _, repository := range slices.Sorted(maps.Keys(found)) {
		for _, d := range found[repository] {
			path := pathOf(repository)
			p.orphan(&candidate{path: path, Verdict: plan.Verdict{Repository: repository, Digest: d, Image: path + "@" + d.String()}}, "digest")
		}
	}
}

// loose returns the unreferenced digests of a repository that neither
// a tag nor a named digest leads to, without their parts. It is pure.
func loose(r reading.Repository, named, unreferenced []digest.Digest) []digest.Digest {
	var roots []graph.Root
	for _, d := range slices.Concat(named, r.Graph.Targets()) {
		roots = append(roots, graph.Root{Digest: d})
	}
	kept := r.Graph.Reach(roots)
	return plan.Tops(r.Graph, slices.DeleteFunc(slices.Clone(unreferenced), func(d digest.Digest) bool {
		_, keeps := kept[d]
		return keeps || r.Missing[d]
	}))
}

// ask decides which digests of a visit the registry is to delete in a collection. What loose candidates lead to is
// never deleted directly: a running copy may have pushed it again, or an index of it, which only shows once its tag
// is set. It is kept if the registry does not list it as unreferenced, or if a satellite tag was set at it since.
func (s *sweeper) ask(r reading.Repository, v *visited, ds []digest.Digest) {
	var tops []digest.Digest
	for _, i := range v.items {
		if i.loose() {
			tops = append(tops, i.Digest)
		}
	}
	v.graph, v.asked, v.kept = r.Graph, map[digest.Digest]bool{}, map[digest.Digest]bool{}
	loose, unreferenced := setOf(r.Graph.Parts(tops...)), setOf(s.plan.unreferenced[v.repository])
	for _, d := range ds {
		if listed := unreferenced[d] && len(r.Graph.TagsThatFollow(d)) == 0; loose[d] {
			v.asked[d], v.kept[d] = listed, !listed
		}
	}
}

// follows reports whether a tag is a satellite tag of a digest that is kept.
func (v *visited) follows(tag string) bool {
	d := v.graph.Target(tag)
	return v.kept[d] && slices.Contains(v.graph.TagsThatFollow(d), tag)
}

// keepUsed keeps the candidates of a visit that something now leads to, or that now have a satellite tag.
func (v *visited) keepUsed(r reading.Repository, going []digest.Digest) {
	for _, i := range v.items {
		if i.Delete && i.loose() && !r.Missing[i.Digest] && (v.kept[i.Digest] || !slices.Contains(going, i.Digest)) {
			i.Keep(plan.InUse, "something that an Artifact or a tag names needs it by now")
		}
	}
}

// delete deletes a digest, or requests its deletion in a collection. It returns true if the digest was pushed
// again. Then the digest and all of its parts are kept, and a new grace period of its candidate begins.
func (s *sweeper) delete(ctx context.Context, v *visited, d digest.Digest) (stays bool, err error) {
	if !v.asked[d] {
		return false, s.env.Registry.Delete(ctx, v.repository, d)
	}
	s.mu.Lock()
	s.asked = append(s.asked, reading.Key{Repository: v.repository, Digest: d})
	s.mu.Unlock()
	store := s.plan.seen.Store
	err = s.env.Registry.DeleteUnreferenced(ctx, client.ObjectKeyFromObject(store), v.repository, d)
	if !errors.Is(err, registry.ErrProtected) {
		return false, err
	}
	for _, part := range v.graph.Parts(d) {
		v.kept[part] = true
	}
	for _, i := range v.items {
		if i.loose() && i.Delete && v.kept[i.Digest] {
			i.since = s.plan.seen.Now
			i.Keep(plan.GracePeriod, plan.PushedAgain)
		}
	}
	return true, nil
}

func setOf(ds []digest.Digest) map[digest.Digest]bool {
	set := make(map[digest.Digest]bool, len(ds))
	for _, d := range ds {
		set[d] = true
	}
	return set
}
