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

// Digests without a tag in the mirror: what a tag had before it was copied again, and copies by digest whose Artifact has
// gone. The registry lists those that nothing in it references, and deletes them in a collection, which keeps what a copy
// that was made meanwhile needs.

// places are all places in the mirror at which there is something.
func (p *Plan) places(tags map[string][]string) []string {
	all := slices.Collect(maps.Keys(tags))
	for repository := range p.unreferenced {
		all = append(all, pathOf(repository))
	}
	return all
}

// findLoose makes items of the digests that nothing in the registry, no Artifact and no use leads to. Their parts go with
// them.
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
	_ = g.Wait() // the errors are in the plan
	for _, repository := range slices.Sorted(maps.Keys(found)) {
		for _, d := range found[repository] {
			path := pathOf(repository)
			p.orphan(&candidate{path: path, Verdict: plan.Verdict{Repository: repository, Digest: d, Image: path + "@" + d.String()}}, "digest")
		}
	}
}

// loose are those of the unreferenced digests of a repository that neither a tag nor what is named leads to, without their
// parts. It is pure.
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

// ask decides which of some digests of a visit the registry deletes in a collection. What candidates that are digests lead
// to is never deleted directly: a copy of it that is under way may have pushed it again, or an index of it, which nothing
// shows until its tag is there. It stays if the registry does not list it, or if a satellite's tag was put at it since.
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

// follows reports whether a tag is a satellite's, of what is not deleted directly.
func (v *visited) follows(tag string) bool {
	d := v.graph.Target(tag)
	return v.kept[d] && slices.Contains(v.graph.TagsThatFollow(d), tag)
}

// keepUsed keeps the candidates of a visit that something leads to by now, or a satellite is tagged of.
func (v *visited) keepUsed(r reading.Repository, going []digest.Digest) {
	for _, i := range v.items {
		if i.Delete && i.loose() && !r.Missing[i.Digest] && (v.kept[i.Digest] || !slices.Contains(going, i.Digest)) {
			i.Keep(plan.InUse, "something that an Artifact or a tag names needs it by now")
		}
	}
}

// delete deletes a digest, or has a collection of the registry delete it. It reports whether the digest was pushed again:
// then it stays with all that it is made of, and its candidate has another grace.
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
