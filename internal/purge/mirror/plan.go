package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/purge/usage"
)

// Plan is what a purge of the mirror decided, and what became of it.
type Plan struct {
	seen     mirrored
	reader   *reading.Reader
	items    []*candidate // by namespace and name, then those without an Artifact
	readings map[string]reading.Repository
	// since is when a purge first saw a tag or digest unneeded, by repository and tag or digest.
	since map[[2]string]time.Time
	// unreferenced are the digests that nothing in the registry references, by repository.
	unreferenced map[string][]digest.Digest
	// Usage is how full the store is.
	Usage usage.Measurement
	// deleted are the digests that were deleted.
	deleted map[reading.Key]bool
	// Err says what could not be read for the plan.
	Err error
}

// Decide reads which Artifacts and workloads reference which images, and decides. It writes nothing (I8). If one repository
// cannot be read, the error is in the plan, everything in the repository is kept, and the plan is complete without it.
func Decide(ctx context.Context, env Env, c plan.Cluster) (*Plan, error) {
	p := &Plan{reader: env.Reader, readings: map[string]reading.Repository{}, deleted: map[reading.Key]bool{}, since: map[[2]string]time.Time{}}
	for _, u := range c.Store.Status.Unneeded {
		p.since[[2]string{u.Repository, u.TagOrDigest}] = u.Since.Time
	}
	repositories, err := env.Registry.Repositories(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding what is in the mirror: %w", err)
	}
	tags := p.tags(ctx, repositories)
	if p.unreferenced, err = p.reader.Unreferenced(ctx, c.Store); err != nil {
		p.Err = errors.Join(p.Err, err)
	}
	// After the tags and digests, so that a copy that was pushed before has its Artifact.
	if p.seen, err = env.read(ctx, c, p.places(tags)); err != nil {
		return nil, err
	}
	for _, a := range p.seen.artifacts {
		p.items = append(p.items, &candidate{mirroredImage: a, path: a.image.Path(), Verdict: p.seen.judge(a)})
	}
	p.orphans(tags)
	p.findLoose(ctx)
	p.study(ctx)
	p.Usage = usage.Meter{Store: c.Store, Volume: env.Volume, Reader: p.reader}.Measure(ctx, p.reached().Counted(false, p.readings), p.readings)
	p.ration()
	return p, nil
}

// pathOf returns the place of a repository in the mirror.
func pathOf(repository string) string {
	return strings.TrimPrefix(repository, v1alpha1.MirrorPrefix+"/")
}

// tags lists the tags of repositories, by the place of each in the mirror. A repository
// that cannot be read has no tags here, but its place still counts when uses are read.
func (p *Plan) tags(ctx context.Context, repositories []string) map[string][]string {
	all := map[string][]string{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(p.reader.Requests())
	for _, repository := range repositories {
		g.Go(func() error {
			names, err := p.reader.Names(ctx, repository)
			mu.Lock()
			defer mu.Unlock()
			all[pathOf(repository)] = names
			if err != nil {
				p.Err = errors.Join(p.Err, fmt.Errorf("reading %s: %w", repository, err))
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in p.Err
	return all
}

// orphans adds candidates for the tags that no Artifact and no use references.
func (p *Plan) orphans(tags map[string][]string) {
	for _, path := range slices.Sorted(maps.Keys(tags)) {
		for _, tag := range tags[path] {
			if _, satellite := graph.SatelliteOf(tag); satellite || p.seen.tagged(path, tag, nil) {
				continue
			}
			p.orphan(&candidate{path: path, tag: tag, Verdict: plan.Verdict{Repository: v1alpha1.MirrorPrefix + "/" + path, Image: path + ":" + tag}}, "tag")
		}
	}
}

// orphan adds a candidate that no Artifact references. Its grace period begins when a purge first sees it.
func (p *Plan) orphan(i *candidate, kind string) {
	store, now := p.seen.Store, p.seen.Now
	i.since = now
	if at, before := p.since[[2]string{i.Repository, i.name()}]; before {
		i.since = at
	}
	// The first purge that sees it keeps it even without a grace period, because its Artifact may not exist yet.
	until := i.since.Add(max(store.Spec.Purge.GracePeriod.Duration, plan.MinAbsence))
	if now.Before(until) {
		i.Keep(plan.GracePeriod, fmt.Sprintf("no Artifact names the %s %s since %s, and it stays until %s", kind, i.name(), rfc3339(i.since), rfc3339(until)))
	} else {
		i.Delete, i.Reason, i.UntaggedAt = true, plan.Unneeded, i.since
		i.Message = fmt.Sprintf("no Artifact names the %s %s, and no workload uses it, since %s", kind, i.name(), rfc3339(i.since))
	}
	p.items = append(p.items, i)
}

// study reads the repositories in which something may be deleted.
func (p *Plan) study(ctx context.Context) {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(p.reader.Requests())
	for repository, items := range byRepository(p.items) {
		g.Go(func() error {
			r := p.reader.Read(ctx, repository, slices.Concat(p.seen.starts(pathOf(repository)), p.unreferenced[repository]))
			mu.Lock()
			defer mu.Unlock()
			p.readings[repository] = r
			if r.Err != nil {
				p.Err = errors.Join(p.Err, fmt.Errorf("reading %s: %w", repository, r.Err))
				for _, i := range items {
					i.Keep(plan.Unreadable, r.Err.Error())
				}
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in p.Err
}

// starts returns the digests that Artifacts and uses reference at a place.
func (m *mirrored) starts(path string) []digest.Digest {
	var all []digest.Digest
	add := func(text string) {
		if d := digest.Digest(text); d.Validate() == nil && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	for _, i := range m.named[path] {
		add(m.artifacts[i].image.Digest)
		add(m.artifacts[i].Status.Digest)
	}
	for _, u := range m.used[path] {
		add(u.Digest)
	}
	return all
}

// names reports whether an Artifact or use references a digest at a place, or a use stands for the whole place.
func (m *mirrored) names(path string, d digest.Digest) bool {
	return m.all(path) != "" || slices.Contains(m.starts(path), d)
}

// reached returns a cluster that records what Artifacts and uses reference
// in the mirror and what is unreferenced, so that its bytes can be counted.
func (p *Plan) reached() plan.Cluster {
	c := p.seen.Cluster
	c.Recorded, c.Entries = map[string][]graph.Root{}, nil
	add := func(repository string, ds []digest.Digest) {
		for _, d := range ds {
			c.Recorded[repository] = append(c.Recorded[repository], graph.Root{Digest: d})
		}
	}
	for path := range p.seen.named {
		add(v1alpha1.MirrorPrefix+"/"+path, p.seen.starts(path))
	}
	for repository, ds := range p.unreferenced {
		add(repository, ds)
	}
	return c
}

// keysOf returns the keys of digests of one repository.
func keysOf(repository string, ds []digest.Digest) []reading.Key {
	all := make([]reading.Key, len(ds))
	for i, d := range ds {
		all[i] = reading.Key{Repository: repository, Digest: d}
	}
	return all
}

// ration keeps what exceeds maxDeletions and what usage does not require
// to delete. What has been unused for the longest time is deleted first.
func (p *Plan) ration() {
	vs := p.Verdicts()
	spec, taken := p.seen.Store.Spec.Purge, map[string][]*candidate{}
	vs = plan.RationBy(plan.Budget(vs, int(spec.MaxDeletions)), spec, p.Usage, func(i int, rest *usage.Removal) int64 {
		item := p.items[i]
		taken[item.Repository] = append(taken[item.Repository], item)
		ds, _ := p.seen.removable(p.readings[item.Repository], item.path, taken[item.Repository])
		return rest.Remove(keysOf(item.Repository, ds)...)
	})
	for i, item := range p.items {
		item.Verdict = vs[i]
	}
}

// Verdicts returns the verdicts of the plan, or after Act what became of them.
func (p *Plan) Verdicts() []plan.Verdict {
	vs := make([]plan.Verdict, len(p.items))
	for i, item := range p.items {
		vs[i] = item.Verdict
	}
	return vs
}

// Reclaimable returns how many bytes would be free if everything that may be deleted were deleted; 0 if unknown.
func (p *Plan) Reclaimable() int64 {
	could := map[string][]*candidate{}
	for _, item := range p.items {
		if item.Delete || item.Reason == plan.OverBudget || item.Reason == plan.NotNeeded || item.Reason == plan.UsageUnknown {
			could[item.Repository] = append(could[item.Repository], item)
		}
	}
	var mayGo []reading.Key
	for repository, items := range could {
		if seen := p.readings[repository]; seen.Graph != nil {
			ds, _ := p.seen.removable(seen, pathOf(repository), items)
			mayGo = append(mayGo, keysOf(repository, ds)...)
		}
	}
	return p.Usage.Freed(mayGo)
}

// Reclaimed returns how many bytes the deleted digests used alone; 0 if unknown.
func (p *Plan) Reclaimed() int64 { return p.Usage.Freed(slices.Collect(maps.Keys(p.deleted))) }

// Unneeded returns the tags and digests that nothing needs and that still exist, oldest first, at most v1alpha1.MaxUnneeded.
func (p *Plan) Unneeded() []v1alpha1.UnresolvedReference {
	var all []v1alpha1.UnresolvedReference
	for _, i := range p.items {
		if i.orphan() && !i.Delete && i.Reason != plan.InUse {
			all = append(all, v1alpha1.UnresolvedReference{Repository: i.Repository, TagOrDigest: i.name(), Since: metav1.NewTime(i.since)})
		}
	}
	if p.unreferenced == nil { // the registry did not list digests: their grace periods continue
		for _, u := range p.seen.Store.Status.Unneeded {
			if digest.Digest(u.TagOrDigest).Validate() == nil {
				all = append(all, u)
			}
		}
	}
	return oldest(all, v1alpha1.MaxUnneeded)
}

// oldest returns at most most of all, oldest first, and of each repository about as many as
// of any other. The grace period of those that have no room begins again with the next purge.
// Without equal shares, one repository with frequent changes could cause this for all others.
func oldest(all []v1alpha1.UnresolvedReference, most int) []v1alpha1.UnresolvedReference {
	byAge := func(a, b v1alpha1.UnresolvedReference) int { return a.Since.Compare(b.Since.Time) }
	slices.SortStableFunc(all, byAge)
	if len(all) <= most {
		return all
	}
	turns, taken := make([][]v1alpha1.UnresolvedReference, 0, 1), map[string]int{}
	for _, u := range all {
		n := taken[u.Repository]
		if taken[u.Repository]++; n == len(turns) {
			turns = append(turns, nil)
		}
		turns[n] = append(turns[n], u)
	}
	kept := slices.Concat(turns...)[:most]
	slices.SortStableFunc(kept, byAge)
	return kept
}
