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

// Plan is what a purge of the mirror decides, and what has become of it.
type Plan struct {
	seen     mirrored
	reader   *reading.Reader
	items    []*candidate // by namespace and name, then those without an Artifact
	readings map[string]reading.Repository
	// since is when purges first saw what they found unneeded, by repository and tag or digest.
	since map[[2]string]time.Time
	// unreferenced is what nothing in the registry references, by repository.
	unreferenced map[string][]digest.Digest
	// Usage is how full the store is.
	Usage usage.Measurement
	// deleted are the digests that have gone.
	deleted map[reading.Key]bool
	// Err says what could not be read for the plan.
	Err error
}

// Decide reads who names and who uses what, and decides. It writes nothing (I8). That one repository cannot be read is
// in the plan's error: it keeps all, and the plan is whole.
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
	// After the tags and digests: who pushed one of them has an Artifact by now.
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

// pathOf is the place in the mirror of a repository.
func pathOf(repository string) string {
	return strings.TrimPrefix(repository, v1alpha1.MirrorPrefix+"/")
}

// tags lists those of repositories, by the place of each in the mirror. One that cannot be read is a place without tags: who
// uses what is there counts all the same.
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
	_ = g.Wait() // the errors are in the plan
	return all
}

// orphans makes items of the tags that no Artifact and no use names.
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

// orphan adds an item that no Artifact names. Its grace begins when a purge sees it first.
func (p *Plan) orphan(i *candidate, kind string) {
	store, now := p.seen.Store, p.seen.Now
	i.since = now
	if at, before := p.since[[2]string{i.Repository, i.name()}]; before {
		i.since = at
	}
	// A purge that sees it first keeps it also without a grace period: its Artifact may just not exist yet.
	until := i.since.Add(max(store.Spec.Purge.GracePeriod.Duration, plan.MinAbsence))
	if now.Before(until) {
		i.Keep(plan.GracePeriod, fmt.Sprintf("no Artifact names the %s %s since %s, and it stays until %s", kind, i.name(), rfc3339(i.since), rfc3339(until)))
	} else {
		i.Delete, i.Reason, i.UntaggedAt = true, plan.Unneeded, i.since
		i.Message = fmt.Sprintf("no Artifact names the %s %s, and no workload uses it, since %s", kind, i.name(), rfc3339(i.since))
	}
	p.items = append(p.items, i)
}

// study reads the repositories in which something may go.
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
	_ = g.Wait() // the errors are in the plan
}

// starts are the digests that Artifacts and uses name at a place.
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

// names reports whether an Artifact or use names a digest at a place, or uses all that is there.
func (m *mirrored) names(path string, d digest.Digest) bool {
	return m.all(path) != "" || slices.Contains(m.starts(path), d)
}

// reached is what the mirror has, as far as Artifacts name it, for the sum of its bytes.
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

// keysOf are digests of one repository.
func keysOf(repository string, ds []digest.Digest) []reading.Key {
	all := make([]reading.Key, len(ds))
	for i, d := range ds {
		all[i] = reading.Key{Repository: repository, Digest: d}
	}
	return all
}

// ration keeps what is over the cap, and what usage does not ask for: what was unused longest goes first.
func (p *Plan) ration() {
	vs := p.Verdicts()
	spec, taken := p.seen.Store.Spec.Purge, map[string][]*candidate{}
	vs = plan.RationBy(plan.Budget(vs, int(spec.MaxDeletions)), spec, p.Usage, func(i int, rest *usage.Removal) int64 {
		item := p.items[i]
		taken[item.Repository] = append(taken[item.Repository], item)
		ds, _ := p.seen.going(p.readings[item.Repository], item.path, taken[item.Repository])
		return rest.Remove(keysOf(item.Repository, ds)...)
	})
	for i, item := range p.items {
		item.Verdict = vs[i]
	}
}

// Verdicts are those of the plan, or what has become of them.
func (p *Plan) Verdicts() []plan.Verdict {
	vs := make([]plan.Verdict, len(p.items))
	for i, item := range p.items {
		vs[i] = item.Verdict
	}
	return vs
}

// Reclaimable is how many bytes would be free if all went that may go; 0 if that is not known.
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
			ds, _ := p.seen.going(seen, pathOf(repository), items)
			mayGo = append(mayGo, keysOf(repository, ds)...)
		}
	}
	return p.Usage.Freed(mayGo)
}

// Reclaimed is how many bytes nothing holds any more since digests have gone; 0 if that is not known.
func (p *Plan) Reclaimed() int64 { return p.Usage.Freed(slices.Collect(maps.Keys(p.deleted))) }

// Unneeded are the tags and digests that nothing needs and that are still there, with room for v1alpha1.MaxUnneeded, those
// first that have been so longest.
func (p *Plan) Unneeded() []v1alpha1.UnresolvedReference {
	var all []v1alpha1.UnresolvedReference
	for _, i := range p.items {
		if i.orphan() && !i.Delete && i.Reason != plan.InUse {
			all = append(all, v1alpha1.UnresolvedReference{Repository: i.Repository, TagOrDigest: i.name(), Since: metav1.NewTime(i.since)})
		}
	}
	if p.unreferenced == nil { // the registry did not say: the graces of digests go on
		for _, u := range p.seen.Store.Status.Unneeded {
			if digest.Digest(u.TagOrDigest).Validate() == nil {
				all = append(all, u)
			}
		}
	}
	return oldest(all, v1alpha1.MaxUnneeded)
}

// oldest are so many of all, those first that are there longest, and of each repository as many as of any other: what has no
// room begins anew with the next purge, and one repository in which much comes and goes must not do that to all.
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
