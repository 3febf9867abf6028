package release

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// untagging removes the tags of one tombstone, tagsAtOnce at a time.
type untagging struct {
	*Releaser
	reg *registry.Client
	job Task
	// entries are the entries to release, as recorded and as found.
	entries []v1alpha1.ArtifactStatus

	mu        sync.Mutex
	tombstone *v1alpha1.Tombstone
	reasons   map[string]string // by repository:tag
	// holders and err say why no more tags are removed.
	holders []reference.Holder
	err     error
}

// release writes the tombstone of the given name and removes its tags. done is true if nothing more is to be released.
func (u *untagging) release(ctx context.Context, ev *evidence, name string, group []Finding, out *Released) (done bool, err error) {
	u.tombstone, err = u.Record(ctx, tombstone.New(u.job.Manifest, ev.store, u.job.Cause, name), group)
	if NamespaceGone(err) {
		*out = Released{Untouched: goneNamespace}
		return true, nil
	}
	if err != nil {
		*out = Released{}
		return true, err
	}
	out.Tombstones = append(out.Tombstones, u.tombstone.Name)
	out.Holders, err = u.run(ctx, ev, group)
	return len(out.Holders) > 0, err
}

// run removes the tags of a tombstone and then reads the holders again. If there are any, it restores the tags.
func (u *untagging) run(ctx context.Context, ev *evidence, group []Finding) ([]reference.Holder, error) {
	u.all(ctx, ev, group)
	if len(u.holders) > 0 || errors.Is(u.err, reference.ErrHoldersUnknown) {
		u.err = errors.Join(u.err, u.undo(ctx, u.reg, ev.store, u.tombstone))
	}
	if u.err != nil || len(u.holders) > 0 {
		return u.holders, u.err
	}
	if err := u.BeginGrace(ctx, u.tombstone, u.reasons, ev.store.Spec.Purge.GracePeriod.Duration); err != nil {
		return nil, err
	}
	late, err := u.holdersAfterUntag(ctx, ev.store, u.job.Manifest, u.entries)
	if len(late) == 0 && !errors.Is(err, reference.ErrHoldersUnknown) {
		return nil, err
	}
	return late, errors.Join(err, u.undo(ctx, u.reg, ev.store, u.tombstone))
}

// all removes one tag at a time until the registry is known to remove a tag alone, and then
// tagsAtOnce at a time, each worker with its own copy of the evidence. It returns only when
// no request is running: a request left running could remove a tag after it was restored.
func (u *untagging) all(ctx context.Context, ev *evidence, group []Finding) {
	for len(group) > 0 && ev.store.Status.Capabilities.TagDelete != v1alpha1.Supported {
		if !u.one(ctx, ev, group[0]) {
			return
		}
		group = group[1:]
	}
	next := make(chan Finding, len(group))
	for _, f := range group {
		next <- f
	}
	close(next)
	var workers errgroup.Group
	for range min(tagsAtOnce, len(group)) {
		workers.Go(func() error {
			own := *ev
			for f := range next {
				if !u.one(ctx, &own, f) {
					break
				}
			}
			return nil
		})
	}
	_ = workers.Wait() // the workers have set u.err
}

// one removes a tag, and reports whether to continue with others.
func (u *untagging) one(ctx context.Context, ev *evidence, f Finding) bool {
	u.mu.Lock()
	over := u.err != nil || len(u.holders) > 0
	u.mu.Unlock()
	if over {
		return false
	}
	reason := TagStays
	var err error
	if !f.There || ev.store.Status.Capabilities.TagDelete != v1alpha1.Unsupported {
		reason, err = u.untag(ctx, ev, f)
	}
	if err != nil || len(ev.holders) > 0 {
		u.stop(ev.holders, err)
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reasons[f.Repository+":"+f.ArtifactVersion] = reason
	return true
}

// stop records why no more tags are removed. Holders that one worker has found are
// kept, even if another worker fails later: they are why the tags are restored.
func (u *untagging) stop(holders []reference.Holder, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = errors.Join(u.err, err)
	if len(u.holders) == 0 {
		u.holders = holders
	}
}

// untag removes one tag on fresh evidence, after it has verified that the tombstone has the tag's
// current digest. reason is for the tombstone's entry; it is "" if the tag was simply removed.
func (u *untagging) untag(ctx context.Context, ev *evidence, f Finding) (reason string, err error) {
	if f, err = u.follow(ctx, f); err != nil {
		return "", err
	}
	trial, err := u.prepare(ctx, u.reg, ev.store, f)
	if err != nil {
		return "", err
	}
	lost, err := u.quarantine(ctx, u.reg, u.job, ev, f)
	switch {
	case err != nil || len(ev.holders) > 0:
		return "", err
	case lost:
		return tombstone.DigestLost, nil
	case !f.There || isUndoTag(ev.store, f):
		return "", nil
	}
	looked := ev.at
	if err := u.fresh(ctx, u.job, ev, f); err != nil || len(ev.holders) > 0 {
		return "", err
	}
	if ev.at != looked { // somebody may have pushed while the evidence was read
		if err := u.unmoved(ctx, ev, f); err != nil {
			return "", err
		}
	}
	write, cancel := context.WithTimeout(ctx, MaxEvidence-u.Clock.Since(ev.at))
	defer cancel()
	if trial == nil {
		if err = u.reg.Untag(write, f.Repository, f.ArtifactVersion); err == nil {
			err = isGone(write, u.reg, f)
		}
		return u.removed(ctx, f, "", err)
	}
	if quarantines(ev.store) && f.kept().Digest == f.Digest { // the undo tag came after the tags were read; the trial restores it too
		trial.Tags = append(trial.Tags, graph.UndoTag(trial.Manifest.Descriptor.Digest))
	}
	reason, err = u.untagTrial(ctx, write, trial, ev.store)
	return u.removed(ctx, f, reason, err)
}

// unmoved returns nil if a tag is still at the digest in its tombstone. It also returns nil if the
// registry takes longer to answer than a third of the time for which the evidence still counts.
func (u *untagging) unmoved(ctx context.Context, ev *evidence, f Finding) error {
	looking, cancel := context.WithTimeout(ctx, (MaxEvidence-u.Clock.Since(ev.at))/3)
	defer cancel()
	now, err := u.reg.Resolve(looking, f.Repository, f.ArtifactVersion)
	if err != nil && looking.Err() != nil && ctx.Err() == nil {
		return nil
	}
	if errors.Is(err, registry.ErrNotFound) || err == nil && now.Digest.String() != f.Digest {
		err = reference.ErrSuperseded // gather everything again
	}
	if err != nil {
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, err)
	}
	return nil
}

// isGone returns nil if the registry says that a tag, whose deletion it has just accepted, does not exist.
func isGone(ctx context.Context, reg *registry.Client, f Finding) error {
	m, err := reg.Tagged(ctx, f.Repository, f.ArtifactVersion)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case err == nil && m.Descriptor.Digest.String() != f.Digest: // pushed again in the meantime
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, reference.ErrSuperseded)
	case err == nil, errors.Is(err, registry.ErrUnreadable):
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, ErrStillThere)
	}
	return err
}

// follow resolves the tag again. If the tag has moved, follow first adds the new digest to the tombstone (I4).
func (u *untagging) follow(ctx context.Context, f Finding) (Finding, error) {
	if !f.There {
		return f, nil
	}
	now, err := u.reg.Resolve(ctx, f.Repository, f.ArtifactVersion)
	if errors.Is(err, registry.ErrNotFound) { // the tag existed a moment ago: gather everything again
		return f, fmt.Errorf("resolving %s:%s: %w", f.Repository, f.ArtifactVersion, reference.ErrSuperseded)
	}
	if err != nil {
		return f, fmt.Errorf("resolving %s:%s: %w", f.Repository, f.ArtifactVersion, err)
	}
	if moved := now.Digest.String(); moved != f.Digest {
		f.earlier, f.Digest, f.MediaType, f.Size = f.Digest, moved, now.MediaType, now.Size
		u.mu.Lock()
		defer u.mu.Unlock()
		stored, err := u.Record(ctx, u.tombstone.DeepCopy(), []Finding{f})
		if err != nil {
			return f, err
		}
		stored.DeepCopyInto(u.tombstone)
		u.entries = append(u.entries, f.ArtifactStatus) // a workload may use the new digest as well
	}
	return f, nil
}
