package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/batch"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

// tagStays is the reason of a tombstone's entry whose tag the registry would not remove alone.
const tagStays = v1alpha1.TagDeleteUnsupported + ": the registry cannot remove a tag alone; the tag goes with its digest at the purge"

// releaser lets artifacts go: evidence, tombstone, untag, holders once more.
type releaser struct {
	api       client.Client
	live      client.Reader
	holders   *reference.Finder
	open      func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error)
	purges    *purges
	stores    batch.Reads[string, []v1alpha1.ArtifactStore] // of the cluster
	manifests batch.Reads[scope, []v1alpha1.ArtifactManifest]
	clock     clock.PassiveClock // for ages
	now       func() time.Time   // the API server's time, for graces
	places    place.Rules
}

// scope is what manifests are listed of: a namespace, or those of one upload path in it.
type scope struct {
	namespace string
	path      v1alpha1.UploadPath
}

// owned are the entries that lie in the manifest's own path (I9). What a manifest has recorded at
// the store-scoped path, from before its upgrade, is never touched.
func (j task) owned(l v1alpha1.RegistryLocation) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(j.entries), func(e v1alpha1.ArtifactStatus) bool { return !l.Owns(j.manifest.Name, e.Repository) })
}

// released is how a release ended without an error.
type released struct {
	// holders, when not empty, is what appeared; nothing was let go.
	holders []reference.Holder
	// untouched says why the registry was left alone; "" when it was not.
	untouched string
	// tombstones are the names of what was written.
	tombstones []string
	// listed are tags that stay because other manifests list them, each with the manifest.
	listed []string
	// stay is true when tags stay until the purge, for the registry cannot remove them alone.
	stay bool
	// absent are entries, as repository:tag, whose tags the registry says do not exist although nfo did not
	// remove them. It is asked again after wait before the release is done.
	absent []string
	wait   time.Duration
}

// finding is an entry of a manifest as the registry shows it right before its release.
type finding struct {
	v1alpha1.ArtifactStatus
	earlier string // the digest recorded before, when the tag has moved since
	there   bool   // whether the tag is there
	anew    bool   // whether an earlier release of it is over
	// sealed is the entry at the digest that it was sealed at, where the tag is at another one: a restore
	// takes that. nil for what is not sealed, or is where it was.
	sealed *v1alpha1.ArtifactStatus
}

// kept is the entry at the digest that a restore is to take.
func (f finding) kept() v1alpha1.ArtifactStatus {
	if f.sealed != nil {
		return *f.sealed
	}
	return f.ArtifactStatus
}

// digests are those that the tag was seen at, the one that a restore takes last.
func (f finding) digests() []string {
	var all []string
	for _, d := range []string{f.earlier, f.Digest, f.kept().Digest} {
		all = slices.DeleteFunc(all, func(o string) bool { return o == d })
		if d != "" {
			all = append(all, d)
		}
	}
	return all
}

// task is what is to be released. Evidence tells whether it still is.
type task struct {
	manifest *v1alpha1.ArtifactManifest
	entries  []v1alpha1.ArtifactStatus
	cause    v1alpha1.Cause
}

// release lets entries of a manifest go: all of them when it is being deleted, or those that
// left its spec. It can be run again after any interruption and ends what was begun.
func (r *releaser) release(ctx context.Context, job task) (released, error) {
	ev, err := r.gather(ctx, job)
	if err != nil || len(ev.holders) > 0 || ev.untouched != "" {
		return released{holders: ev.holders, untouched: ev.untouched}, err
	}
	reg, err := r.open(ctx, ev.store)
	if err != nil {
		return released{}, fmt.Errorf("opening store %s: %w", ev.store.Name, err)
	}
	owned := job.owned(reg.Location())
	out := released{listed: ev.others(owned)}
	found, err := r.find(ctx, reg, ev.free(owned), promised(job.manifest), &out)
	if err != nil {
		return released{}, err
	}
	for name, group := range r.group(job, found) {
		t, err := r.record(ctx, newTombstone(job.manifest, ev.store, job.cause, name), group)
		if namespaceGone(err) {
			return released{untouched: goneNamespace}, nil
		}
		if err != nil {
			return released{}, err
		}
		out.tombstones = append(out.tombstones, t.Name)
		if out.holders, err = r.untag(ctx, reg, job, &ev, t, group); err != nil || len(out.holders) > 0 {
			return out, err
		}
	}
	out.stay = ev.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported
	return out, nil
}

// untag removes the tags of one tombstone, and looks at the holders once more.
func (r *releaser) untag(ctx context.Context, reg *registry.Client, job task, ev *evidence, t *v1alpha1.Tombstone, group []finding) ([]reference.Holder, error) {
	reasons := map[string]string{} // by repository:tag
	for _, f := range group {
		reason := tagStays
		if !f.there || ev.store.Status.Capabilities.TagDelete != v1alpha1.Unsupported {
			var err error
			reason, err = r.untagOne(ctx, reg, job, ev, t, f)
			if len(ev.holders) > 0 || errors.Is(err, reference.ErrHoldersUnknown) {
				err = errors.Join(err, r.undo(ctx, reg, ev.store, t))
			}
			if err != nil || len(ev.holders) > 0 {
				return ev.holders, err
			}
		}
		reasons[f.Repository+":"+f.ArtifactVersion] = reason
	}
	if err := r.bury(ctx, t, reasons, ev.store.Spec.Purge.GracePeriod.Duration); err != nil {
		return nil, err
	}
	late, err := r.lateHolders(ctx, job.manifest)
	if len(late) == 0 && !errors.Is(err, reference.ErrHoldersUnknown) {
		return nil, err
	}
	return late, errors.Join(err, r.undo(ctx, reg, ev.store, t))
}

// lateHolders looks once more for what holds a manifest whose tags are gone.
func (r *releaser) lateHolders(ctx context.Context, m *v1alpha1.ArtifactManifest) ([]reference.Holder, error) {
	found, err := r.holders.Live(ctx, m)
	if err != nil || len(found.Holders) > 0 || found.KindGoing {
		return found.Holders, err
	}
	return r.unlistedHolders(ctx, m)
}

// undo puts the tags of a tombstone back when a holder has appeared meanwhile, or may have.
func (r *releaser) undo(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, t *v1alpha1.Tombstone) error {
	_, err := r.restore(ctx, reg, s, t, func(v1alpha1.TombstoneArtifact) bool { return true }, nil)
	return err
}

// untagOne removes one tag on evidence that is fresh, after it has seen that the tombstone
// has the digest the tag is at now. reason is for the tombstone's entry, where there is more to
// say than that the tag is removed.
func (r *releaser) untagOne(ctx context.Context, reg *registry.Client, job task, ev *evidence, t *v1alpha1.Tombstone, f finding) (reason string, err error) {
	if f, err = r.follow(ctx, reg, t, f); err != nil {
		return "", err
	}
	trial, err := r.prepare(ctx, reg, ev.store, f)
	if err != nil {
		return "", err
	}
	lost, err := r.quarantine(ctx, reg, job, ev, f)
	switch {
	case err != nil || len(ev.holders) > 0:
		return "", err
	case lost:
		return digestLost, nil
	case !f.there || isUndoTag(ev.store, f):
		return "", nil
	}
	if err := r.fresh(ctx, job, ev, f); err != nil || len(ev.holders) > 0 {
		return "", err
	}
	write, cancel := context.WithTimeout(ctx, maxEvidence-r.clock.Since(ev.at))
	defer cancel()
	if trial == nil {
		if err := reg.Untag(write, f.Repository, f.ArtifactVersion); err != nil {
			return "", err
		}
		return "", isGone(write, reg, f)
	}
	if quarantines(ev.store) && f.kept().Digest == f.Digest { // it came after the tags were read: what the registry takes is put back whole
		trial.Tags = append(trial.Tags, graph.UndoTag(trial.Manifest.Descriptor.Digest))
	}
	return r.learn(ctx, write, trial, ev.store)
}

// isGone is nil if the registry says that a tag does not exist whose deletion it has just accepted.
func isGone(ctx context.Context, reg *registry.Client, f finding) error {
	m, err := reg.Tagged(ctx, f.Repository, f.ArtifactVersion)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case err == nil && m.Descriptor.Digest.String() != f.Digest: // pushed again meanwhile
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, errSuperseded)
	case err == nil, errors.Is(err, registry.ErrUnreadable):
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, errStillThere)
	}
	return err
}

// follow looks where the tag is now. If it has moved, the tombstone gets the new digest first (I4).
func (r *releaser) follow(ctx context.Context, reg *registry.Client, t *v1alpha1.Tombstone, f finding) (finding, error) {
	if !f.there {
		return f, nil
	}
	now, err := reg.Resolve(ctx, f.Repository, f.ArtifactVersion)
	if errors.Is(err, registry.ErrNotFound) { // it was there when it was found: look at everything again
		return f, fmt.Errorf("resolving %s:%s: %w", f.Repository, f.ArtifactVersion, errSuperseded)
	}
	if err != nil {
		return f, fmt.Errorf("resolving %s:%s: %w", f.Repository, f.ArtifactVersion, err)
	}
	if moved := now.Digest.String(); moved != f.Digest {
		f.earlier, f.Digest, f.MediaType, f.Size = f.Digest, moved, now.MediaType, now.Size
		stored, err := r.record(ctx, t.DeepCopy(), []finding{f})
		if err != nil {
			return f, err
		}
		stored.DeepCopyInto(t)
	}
	return f, nil
}

// prepare reads what the first release of a store may have to put back (I6); nil once it is
// known that the registry can remove a tag alone.
func (r *releaser) prepare(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, f finding) (*registry.Trial, error) {
	if !f.there || s.Status.Capabilities.TagDelete == v1alpha1.Supported {
		return nil, nil
	}
	return reg.PrepareTrial(ctx, f.Repository, f.ArtifactVersion, digest.Digest(f.Digest))
}

// learn removes the tag before the evidence is too old, which write ends with, and records whether the
// registry did so without taking the digest: that stays true however long it took to find out.
func (r *releaser) learn(ctx, write context.Context, trial *registry.Trial, s *v1alpha1.ArtifactStore) (reason string, err error) {
	learnt, err := trial.Untag(write)
	if err != nil || learnt == v1alpha1.SupportUnknown {
		return "", err
	}
	patch := client.MergeFrom(s.DeepCopy())
	s.Status.Capabilities.TagDelete = learnt
	if err := r.api.Status().Patch(ctx, s, patch); err != nil {
		return "", fmt.Errorf("recording that tag deletion is %s in store %s: %w", learnt, s.Name, err)
	}
	if learnt == v1alpha1.Unsupported {
		return tagStays, nil
	}
	return "", nil
}

// find resolves every entry. One that was never there has nothing to release, once that is certain.
// What promises digests is to come back at those.
func (r *releaser) find(ctx context.Context, reg *registry.Client, entries []v1alpha1.ArtifactStatus, promised bool, out *released) ([]finding, error) {
	var found []finding
	for _, e := range entries {
		d, err := reg.Resolve(ctx, e.Repository, e.ArtifactVersion)
		f := finding{ArtifactStatus: e}
		switch {
		case errors.Is(err, registry.ErrNotFound):
			if wait := registry.SettlesIn(err); wait > 0 {
				out.absent, out.wait = append(out.absent, e.Repository+":"+e.ArtifactVersion), max(out.wait, wait)
			}
			if e.Digest == "" {
				continue
			}
		case err != nil:
			return nil, fmt.Errorf("resolving %s:%s: %w", e.Repository, e.ArtifactVersion, err)
		default:
			f.earlier, f.there = e.Digest, true
			f.Digest, f.MediaType, f.Size = d.Digest.String(), d.MediaType, d.Size
		}
		if promised && e.Digest != "" && f.Digest != e.Digest {
			f.sealed = &e
		}
		found = append(found, f)
	}
	return found, nil
}

// group sorts findings by the tombstone that they belong to.
func (r *releaser) group(job task, found []finding) map[string][]finding {
	groups := map[string][]finding{}
	for _, f := range found {
		name := tombstoneName(job.manifest, job.cause, f.Repository+":"+f.ArtifactVersion)
		groups[name] = append(groups[name], f)
	}
	return groups
}
