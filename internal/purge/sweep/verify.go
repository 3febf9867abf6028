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

// verifyTimeout bounds the verification of a repository after deletions, also for a sweep that was asked to stop.
const verifyTimeout = 20 * time.Second

// ErrPutBack is wrapped if something deleted turned out to be needed and was restored.
var ErrPutBack = errors.New("what was deleted turned out to be needed")

// neededManifest is an image manifest to restore, and why.
type neededManifest struct {
	digest digest.Digest
	why    string
	// tags are the missing tags that a manifest lists and that were deleted with the digest.
	tags []string
	// asked: it still exists, and the registry was asked to delete it.
	asked bool
}

// verify reads a repository again after deletions. Every tag, and everything else that keeps digests, must lead
// only to digests that exist, recursively. OCI has no compare-and-set: only this reading shows a tag that was
// set, or a manifest that was applied again, between the evidence and the deletion. What they need is restored.
func (v *visit) verify(ctx context.Context, deleted moment) error {
	if len(v.gone) == 0 {
		return nil
	}
	defer v.dropBytes()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	needed, err := v.needed(ctx, deleted)
	if err != nil {
		err = fmt.Errorf("looking whether all that is left can still be pulled: %w", err)
		v.doubted(err) // this also concerns what was deleted directly: it can be pushed again while its layers exist
		return errors.Join(err, v.withdrawAll(ctx))
	}
	var errs []error
	needed = slices.DeleteFunc(needed, func(n neededManifest) bool {
		if n.asked {
			errs = append(errs, v.withdraw(ctx, n))
		}
		return n.asked
	})
	if len(needed) > 0 {
		errs = append(errs, v.restore(ctx, needed))
	}
	return errors.Join(errs...)
}

// withdrawAll withdraws every requested deletion that could not be verified.
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

// withdraw withdraws the requested deletion of a digest that is now used.
func (v *visit) withdraw(ctx context.Context, n neededManifest) error {
	return v.takeBack(ctx, v.at(n.digest), v.gone[n.digest], n.why)
}

// takeBack pushes a digest again whose deletion in a collection was requested, which cancels the
// request. If the push fails, the purge asks for no collection, so that the digest stays for now.
func (s *sweeper) takeBack(ctx context.Context, at reading.Key, m registry.Manifest, why string) error {
	s.log.Info("Keeping what turned out to be needed before the registry has deleted it", "repository", at.Repository, "digest", at.Digest, "why", why)
	verdict := s.plan[at]
	verdict.Keep(plan.Held, why)
	err := s.registry.Restore(ctx, at.Repository, m, nil)
	if err != nil {
		verdict.Keep(plan.Lost, fmt.Sprintf("the registry was asked to delete %s, which is needed, and did not take it back; push it again: %s", at.Digest, why))
		// Not wrapped, because an error of writing must not count as an error of deleting.
		err = fmt.Errorf("%s of %s may be LOST: %s: %s", at.Digest, at.Repository, verdict.Message, err.Error())
		s.doubted(err)
	}
	s.settleVerdict(verdict)
	return err
}

// needed returns which of the deleted image manifests are missing and reached from something that is kept.
func (v *visit) needed(ctx context.Context, deleted moment) ([]neededManifest, error) {
	before := v.readings[v.repository]
	// Parts that were kept while a parent was deleted: some registries delete parts with their parent.
	var shared []digest.Digest
	for _, d := range before.Graph.Parts(slices.Collect(maps.Keys(v.gone))...) {
		if _, deleted := v.gone[d]; deleted || before.Missing[d] {
			continue
		}
		shared = append(shared, d)
		if m, err := v.reader.Whole(ctx, v.at(d)); err == nil {
			v.keepBytes(d, m)
		}
	}
	v.latest = nil
	c, err := v.cluster(ctx, deleted)
	switch {
	case c == nil: // the reading of a store that must not be purged any more is not nil
		return nil, err
	case c.Store == nil: // the store no longer protects what its manifests keep
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
	var needed []neededManifest
	reached := after.Graph.Reach(c.Roots(v.repository, before.Locked, after.Graph))
	for d := range v.gone {
		if why, kept := reached[d]; kept && v.lost(after, d) {
			needed = append(needed, neededManifest{d, plan.Explain(why), listedAt(c.Tombstones, c.Entries[v.repository], d, after.Graph), !after.Missing[d]})
		}
	}
	return needed, nil
}

// lost reports whether a deleted digest is missing, or will be after a collection.
func (v *visit) lost(after reading.Repository, d digest.Digest) bool {
	return after.Missing[d] || v.found(d)
}

// listedAt returns the missing tags that manifests list and that a restore would set to a digest.
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

// dangling returns the tags that resolved before the deletions, and that a second
// reading still lists and cannot resolve. It is unknown which digests they point at now.
func (v *visit) dangling(ctx context.Context, tags []string) ([]string, error) {
	tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(v.readings[v.repository].Dangling, tag) })
	if len(tags) == 0 {
		return nil, nil
	}
	_, again, err := v.reader.Tags(ctx, v.repository)
	return slices.DeleteFunc(tags, func(tag string) bool { return !slices.Contains(again, tag) }), err
}

// keepBytes keeps the bytes of a digest that is about to be deleted, so that it can be restored.
func (v *visit) keepBytes(d digest.Digest, m registry.Manifest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.held += len(m.Bytes) - len(v.gone[d].Bytes)
	v.gone[d] = m
}

// dropBytes drops the bytes of digests that are verified.
func (v *visit) dropBytes() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.gone {
		v.held -= len(m.Bytes)
	}
	clear(v.gone)
}

// full reports whether too many bytes are kept to continue without verifying.
func (v *visit) full() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.held > reading.MaxHeld
}

// all returns all deleted digests of the repository.
func (v *visit) all(why string) []neededManifest {
	var out []neededManifest
	for d := range v.gone {
		out = append(out, neededManifest{digest: d, why: why, asked: v.found(d)})
	}
	return out
}

// restore restores image manifests with their parts. Parts come first, because registries require it.
func (v *visit) restore(ctx context.Context, needed []neededManifest) error {
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
				// Not wrapped, because an error of writing must not count as an error of deleting.
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
