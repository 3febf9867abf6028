package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// verifyTimeout bounds the look at a repository after deletions in it, also of a sweep that was
// asked to stop.
const verifyTimeout = 20 * time.Second

// ErrPutBack is wrapped when something deleted turned out to be needed, and was put back.
var ErrPutBack = errors.New("what was deleted turned out to be needed")

// survivor is an image manifest to put back, and why.
type survivor struct {
	digest digest.Digest
	why    string
	// tags that a manifest lists and that have gone with the digest.
	tags []string
	// asked: it is still there, and the registry was asked to delete it.
	asked bool
}

// verify reads a repository again after deletions: every tag, and whatever else keeps anything,
// must lead to what is there, all the way down. OCI has no compare-and-set: a tag that somebody set
// between the last look and the deletion is only seen here, and so is a manifest that was applied
// again meanwhile. What they need is put back.
func (v *visit) verify(ctx context.Context, deleted moment) error {
	if len(v.gone) == 0 {
		return nil
	}
	defer v.drop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	needed, err := v.needed(ctx, deleted)
	if err != nil {
		err = fmt.Errorf("looking whether all that is left can still be pulled: %w", err)
		v.doubted(err) // also what was deleted directly can be pushed again for as long as its layers are there
		return errors.Join(err, v.withdrawAll(ctx))
	}
	var errs []error
	needed = slices.DeleteFunc(needed, func(n survivor) bool {
		if n.asked {
			errs = append(errs, v.withdraw(ctx, n))
		}
		return n.asked
	})
	if len(needed) > 0 {
		errs = append(errs, v.putBack(ctx, needed))
	}
	return errors.Join(errs...)
}

// withdrawAll withdraws whatever the registry was asked to delete and that could not be verified.
func (v *visit) withdrawAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	var errs []error
	for _, n := range v.all("it could not be verified that nothing needs it") {
		if n.asked && v.verdict(v.at(n.digest)).Delete {
			errs = append(errs, v.withdraw(ctx, n))
		}
	}
	return errors.Join(errs...)
}

// withdraw takes back what the registry was asked to delete and what is used by now.
func (v *visit) withdraw(ctx context.Context, n survivor) error {
	return v.takeBack(ctx, v.at(n.digest), v.gone[n.digest], n.why)
}

// takeBack pushes again what the registry was asked to delete in a collection: then the request does not count. If that
// fails, no collection is asked for, and it is still there for now.
func (s *sweeper) takeBack(ctx context.Context, at reading.Key, m registry.Manifest, why string) error {
	s.log.Info("Keeping what turned out to be needed before the registry has deleted it", "repository", at.Repository, "digest", at.Digest, "why", why)
	verdict := s.plan[at]
	verdict.Keep(plan.Held, why)
	err := s.registry.Restore(ctx, at.Repository, m, nil)
	if err != nil {
		verdict.Keep(plan.Lost, fmt.Sprintf("the registry was asked to delete %s, which is needed, and did not take it back; push it again: %s", at.Digest, why))
		// What the registry says of writing teaches nothing of deleting: not wrapped.
		err = fmt.Errorf("%s of %s may be LOST: %s: %s", at.Digest, at.Repository, verdict.Message, err.Error())
		s.doubted(err)
	}
	s.settleVerdict(verdict)
	return err
}

// needed returns which of the image manifests at hand are missing and reached from something kept.
func (v *visit) needed(ctx context.Context, deleted moment) ([]survivor, error) {
	before := v.readings[v.repository]
	// A part that was kept while what lists it went: some registries take parts along.
	var shared []digest.Digest
	for _, d := range before.Graph.Parts(slices.Collect(maps.Keys(v.gone))...) {
		if _, deleted := v.gone[d]; deleted || before.Missing[d] {
			continue
		}
		shared = append(shared, d)
		if m, err := v.reader.Whole(ctx, v.at(d)); err == nil {
			v.hold(d, m)
		}
	}
	v.latest = nil
	c, err := v.cluster(ctx, deleted)
	switch {
	case c == nil: // a store that must not be purged any more has one
		return nil, err
	case c.Store == nil: // what its manifests keep is kept by another one, or by none
		return v.all("its store was deleted meanwhile"), nil
	}
	starts := slices.Clone(shared)
	for _, root := range c.Keeps(v.repository) {
		starts = append(starts, root.Digest)
	}
	after := v.reader.Without(v.repository, slices.Concat(slices.Collect(maps.Keys(v.gone)), shared)).Read(ctx, v.repository, starts)
	if after.Err != nil {
		return nil, after.Err
	}
	switch lost, lookErr := v.dangling(ctx, after.Dangling); {
	case lookErr != nil:
		return nil, lookErr
	case len(lost) > 0:
		return v.all(fmt.Sprintf("tag %q leads nowhere", lost[0])), nil
	}
	var needed []survivor
	reached := after.Graph.Reach(c.Roots(v.repository, before.Locked, after.Graph))
	for d := range v.gone {
		if why, kept := reached[d]; kept && v.lost(after, d) {
			needed = append(needed, survivor{d, plan.Explain(why), listedAt(c.Tombstones, c.Entries[v.repository], d, after.Graph), !after.Missing[d]})
		}
	}
	return needed, nil
}

// lost reports whether a digest is missing after it was deleted, or will be after a collection.
func (v *visit) lost(after reading.Repository, d digest.Digest) bool {
	return after.Missing[d] || v.found(d)
}

// listedAt are the tags that manifests list, that a restore would put at a digest, and that are not
// there.
func listedAt(all []*v1alpha1.Tombstone, entries []plan.Entry, d digest.Digest, g *graph.Graph) []string {
	var tags []string
	for _, e := range entries {
		if !e.Listed || e.Digests[len(e.Digests)-1] != d.String() || g.Target(e.Tag) != "" {
			continue
		}
		if undos := v1alpha1.Undos(all, e.Repository, e.Tag); len(undos) > 0 && undos[0].UID == e.UID {
			tags = append(tags, e.Tag)
		}
	}
	return tags
}

// dangling returns those tags that led somewhere before the deletions, and that a second look
// still finds listed and leading nowhere. Where they led since is not known.
func (v *visit) dangling(ctx context.Context, tags []string) ([]string, error) {
	tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(v.readings[v.repository].Dangling, tag) })
	if len(tags) == 0 {
		return nil, nil
	}
	_, again, err := v.reader.Tags(ctx, v.repository)
	return slices.DeleteFunc(tags, func(tag string) bool { return !slices.Contains(again, tag) }), err
}

// hold keeps what is about to be deleted, for putting back.
func (v *visit) hold(d digest.Digest, m registry.Manifest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.held += len(m.Bytes) - len(v.gone[d].Bytes)
	v.gone[d] = m
}

// drop forgets what is verified.
func (v *visit) drop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.gone {
		v.held -= len(m.Bytes)
	}
	clear(v.gone)
}

// full reports whether too many bytes are at hand to go on without a look.
func (v *visit) full() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.held > reading.MaxHeld
}

// all returns whatever was deleted in the repository.
func (v *visit) all(why string) []survivor {
	var out []survivor
	for d := range v.gone {
		out = append(out, survivor{digest: d, why: why, asked: v.found(d)})
	}
	return out
}

// putBack puts image manifests back with what they are made of, parts first, as registries want it.
func (v *visit) putBack(ctx context.Context, needed []survivor) error {
	why, tags := map[digest.Digest]string{}, map[digest.Digest][]string{}
	g := v.readings[v.repository].Graph
	for _, n := range needed {
		tags[n.digest] = n.tags
		for _, d := range g.Parts(n.digest) {
			if _, have := v.gone[d]; have && why[d] == "" {
				why[d] = n.why
			}
		}
	}
	var errs []error
	for _, layer := range slices.Backward(g.Layers(slices.Collect(maps.Keys(why)))) {
		for _, d := range layer {
			v.log.Error("Putting back what turned out to be needed", "event", eventPutBack, "store", v.key.String(), "repository", v.repository, "digest", d, "tags", tags[d], "why", why[d])
			verdict := v.plan[v.at(d)]
			verdict.Repository, verdict.Digest, verdict.Delete, verdict.Reason, verdict.Message = v.repository, d, false, plan.Tagged, "it was deleted and put back: "+why[d]
			if err := v.registry.Restore(ctx, v.repository, v.gone[d], tags[d]); err != nil {
				verdict.Reason, verdict.Message = plan.Lost, fmt.Sprintf("%s was deleted, is needed and could not be put back: %s", d, why[d])
				// What the registry says of writing teaches nothing of deleting: not wrapped.
				v.doubted(err)
				errs = append(errs, fmt.Errorf("%s is LOST from %s (%s); push it again: %s", d, v.repository, why[d], err.Error()))
			}
			v.settleVerdict(verdict)
		}
	}
	errs = append(errs, fmt.Errorf("%w: of %d image manifests of %s, such as %s, %d were put back: %s",
		ErrPutBack, len(why), v.repository, needed[0].digest, len(why)-len(errs), needed[0].why))
	return errors.Join(errs...)
}
