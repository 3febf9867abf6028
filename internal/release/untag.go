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

// untagging removes the tags of one tombstone, some at a time.
type untagging struct {
	*Releaser
	reg *registry.Client
	job Task
	// entries are what is released, as recorded and as found.
	entries []v1alpha1.ArtifactStatus

	mu        sync.Mutex
	tombstone *v1alpha1.Tombstone
	reasons   map[string]string // by repository:tag
	// holders and err are why no more tags are removed.
	holders []reference.Holder
	err     error
}

// release writes a tombstone of a name and removes its tags. done says that nothing more is to be released.
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

// run removes the tags of a tombstone, and looks at the holders once more. If there are any, the tags are put back.
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
	late, err := u.lateHolders(ctx, ev.store, u.job.Manifest, u.entries)
	if len(late) == 0 && !errors.Is(err, reference.ErrHoldersUnknown) {
		return nil, err
	}
	return late, errors.Join(err, u.undo(ctx, u.reg, ev.store, u.tombstone))
}

// all removes one tag after another until it is known that the registry can remove a tag alone, and then some at a
// time, each worker on evidence of its own. It returns when no request is under way: one that is not waited for
// could remove a tag after it was put back.
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
	_ = workers.Wait() // one has set u.err
}

// one removes a tag, and reports whether to go on with others.
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

// stop notes why no more tags are removed. Holders that one worker has found stay, whatever stops another one
// after it: they are why the tags come back.
func (u *untagging) stop(holders []reference.Holder, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = errors.Join(u.err, err)
	if len(u.holders) == 0 {
		u.holders = holders
	}
}

// untag removes one tag on evidence that is fresh, after it has seen that the tombstone
// has the digest the tag is at now. reason is for the tombstone's entry, where there is more to
// say than that the tag is removed.
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
	if ev.at != looked { // the reading took time, in which somebody may have pushed
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
	if quarantines(ev.store) && f.kept().Digest == f.Digest { // it came after the tags were read: what the registry takes is put back whole
		trial.Tags = append(trial.Tags, graph.UndoTag(trial.Manifest.Descriptor.Digest))
	}
	reason, err = u.learn(ctx, write, trial, ev.store)
	return u.removed(ctx, f, reason, err)
}

// unmoved is nil if a tag is still at the digest that its tombstone has, or if the registry is too slow to say so while the
// evidence counts, of which it takes a third at most.
func (u *untagging) unmoved(ctx context.Context, ev *evidence, f Finding) error {
	looking, cancel := context.WithTimeout(ctx, (MaxEvidence-u.Clock.Since(ev.at))/3)
	defer cancel()
	now, err := u.reg.Resolve(looking, f.Repository, f.ArtifactVersion)
	if err != nil && looking.Err() != nil && ctx.Err() == nil {
		return nil
	}
	if errors.Is(err, registry.ErrNotFound) || err == nil && now.Digest.String() != f.Digest {
		err = reference.ErrSuperseded // look at everything again
	}
	if err != nil {
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, err)
	}
	return nil
}

// isGone is nil if the registry says that a tag does not exist whose deletion it has just accepted.
func isGone(ctx context.Context, reg *registry.Client, f Finding) error {
	m, err := reg.Tagged(ctx, f.Repository, f.ArtifactVersion)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case err == nil && m.Descriptor.Digest.String() != f.Digest: // pushed again meanwhile
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, reference.ErrSuperseded)
	case err == nil, errors.Is(err, registry.ErrUnreadable):
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, ErrStillThere)
	}
	return err
}

// follow looks where the tag is now. If it has moved, the tombstone gets the new digest first (I4).
func (u *untagging) follow(ctx context.Context, f Finding) (Finding, error) {
	if !f.There {
		return f, nil
	}
	now, err := u.reg.Resolve(ctx, f.Repository, f.ArtifactVersion)
	if errors.Is(err, registry.ErrNotFound) { // it was there when it was found: look at everything again
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
		u.entries = append(u.entries, f.ArtifactStatus) // a workload may use the new digest, too
	}
	return f, nil
}
