package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/batch"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// TagStays is the reason of a tombstone's entry whose tag the registry would not remove alone.
const TagStays = v1alpha1.TagDeleteUnsupported + ": the registry cannot remove a tag alone; the tag goes with its digest at the purge"

// Releaser lets artifacts go: evidence, tombstone, untag, holders once more.
type Releaser struct {
	API       client.Client
	Live      client.Reader
	Holders   *reference.Finder
	Open      func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error)
	Purges    *Purges
	stores    batch.Reads[string, []v1alpha1.ArtifactStore] // of the cluster
	manifests batch.Reads[scope, []v1alpha1.ArtifactManifest]
	Clock     clock.PassiveClock // for ages
	Now       func() time.Time   // the API server's time, for graces
	Places    place.Rules
}

// scope is what manifests are listed of: a namespace, or those of one upload path in it.
type scope struct {
	namespace string
	path      v1alpha1.UploadPath
}

// Release lets entries of a manifest go: all of them when it is being deleted, or those that
// left its spec. It can be run again after any interruption and ends what was begun.
func (r *Releaser) Release(ctx context.Context, job Task) (Released, error) {
	ev, err := r.gather(ctx, job)
	if err != nil || len(ev.holders) > 0 || ev.untouched != "" {
		return Released{Holders: ev.holders, Untouched: ev.untouched}, err
	}
	reg, err := r.Open(ctx, ev.store)
	if err != nil {
		return Released{}, fmt.Errorf("opening store %s: %w", ev.store.Name, err)
	}
	owned := job.Owned(reg.Location())
	out := Released{listed: ev.others(owned)}
	found, err := r.find(ctx, reg, ev.free(owned), inventory.Promised(job.Manifest), &out)
	if err != nil {
		return Released{}, err
	}
	for name, group := range r.group(job, found) {
		t, err := r.Record(ctx, tombstone.New(job.Manifest, ev.store, job.Cause, name), group)
		if NamespaceGone(err) {
			return Released{Untouched: goneNamespace}, nil
		}
		if err != nil {
			return Released{}, err
		}
		out.Tombstones = append(out.Tombstones, t.Name)
		if out.Holders, err = r.untag(ctx, reg, job, &ev, t, group); err != nil || len(out.Holders) > 0 {
			return out, err
		}
	}
	out.stay = ev.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported
	return out, nil
}

// untag removes the tags of one tombstone, and looks at the holders once more.
func (r *Releaser) untag(ctx context.Context, reg *registry.Client, job Task, ev *evidence, t *v1alpha1.Tombstone, group []Finding) ([]reference.Holder, error) {
	reasons := map[string]string{} // by repository:tag
	for _, f := range group {
		reason := TagStays
		if !f.There || ev.store.Status.Capabilities.TagDelete != v1alpha1.Unsupported {
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
	if err := r.BeginGrace(ctx, t, reasons, ev.store.Spec.Purge.GracePeriod.Duration); err != nil {
		return nil, err
	}
	late, err := r.lateHolders(ctx, job.Manifest)
	if len(late) == 0 && !errors.Is(err, reference.ErrHoldersUnknown) {
		return nil, err
	}
	return late, errors.Join(err, r.undo(ctx, reg, ev.store, t))
}

// lateHolders looks once more for what holds a manifest whose tags are gone.
func (r *Releaser) lateHolders(ctx context.Context, m *v1alpha1.ArtifactManifest) ([]reference.Holder, error) {
	found, err := r.Holders.Live(ctx, m)
	if err != nil || len(found.Holders) > 0 || found.KindGoing {
		return found.Holders, err
	}
	return r.unlistedHolders(ctx, m)
}

// undo puts the tags of a tombstone back when a holder has appeared meanwhile, or may have.
func (r *Releaser) undo(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, t *v1alpha1.Tombstone) error {
	_, err := r.Restore(ctx, reg, s, t, func(v1alpha1.TombstoneArtifact) bool { return true }, nil)
	return err
}

// untagOne removes one tag on evidence that is fresh, after it has seen that the tombstone
// has the digest the tag is at now. reason is for the tombstone's entry, where there is more to
// say than that the tag is removed.
func (r *Releaser) untagOne(ctx context.Context, reg *registry.Client, job Task, ev *evidence, t *v1alpha1.Tombstone, f Finding) (reason string, err error) {
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
		return tombstone.DigestLost, nil
	case !f.There || isUndoTag(ev.store, f):
		return "", nil
	}
	if err := r.fresh(ctx, job, ev, f); err != nil || len(ev.holders) > 0 {
		return "", err
	}
	write, cancel := context.WithTimeout(ctx, MaxEvidence-r.Clock.Since(ev.at))
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
func (r *Releaser) follow(ctx context.Context, reg *registry.Client, t *v1alpha1.Tombstone, f Finding) (Finding, error) {
	if !f.There {
		return f, nil
	}
	now, err := reg.Resolve(ctx, f.Repository, f.ArtifactVersion)
	if errors.Is(err, registry.ErrNotFound) { // it was there when it was found: look at everything again
		return f, fmt.Errorf("resolving %s:%s: %w", f.Repository, f.ArtifactVersion, reference.ErrSuperseded)
	}
	if err != nil {
		return f, fmt.Errorf("resolving %s:%s: %w", f.Repository, f.ArtifactVersion, err)
	}
	if moved := now.Digest.String(); moved != f.Digest {
		f.earlier, f.Digest, f.MediaType, f.Size = f.Digest, moved, now.MediaType, now.Size
		stored, err := r.Record(ctx, t.DeepCopy(), []Finding{f})
		if err != nil {
			return f, err
		}
		stored.DeepCopyInto(t)
	}
	return f, nil
}

// prepare reads what the first release of a store may have to put back (I6); nil once it is
// known that the registry can remove a tag alone.
func (r *Releaser) prepare(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, f Finding) (*registry.Trial, error) {
	if !f.There || s.Status.Capabilities.TagDelete == v1alpha1.Supported {
		return nil, nil
	}
	return reg.PrepareTrial(ctx, f.Repository, f.ArtifactVersion, digest.Digest(f.Digest))
}

// learn removes the tag before the evidence is too old, which write ends with, and records whether the
// registry did so without taking the digest: that stays true however long it took to find out.
func (r *Releaser) learn(ctx, write context.Context, trial *registry.Trial, s *v1alpha1.ArtifactStore) (reason string, err error) {
	learnt, err := trial.Untag(write)
	if err != nil || learnt == v1alpha1.SupportUnknown {
		return "", err
	}
	patch := client.MergeFrom(s.DeepCopy())
	s.Status.Capabilities.TagDelete = learnt
	if err := r.API.Status().Patch(ctx, s, patch); err != nil {
		return "", fmt.Errorf("recording that tag deletion is %s in store %s: %w", learnt, s.Name, err)
	}
	if learnt == v1alpha1.Unsupported {
		return TagStays, nil
	}
	return "", nil
}

// find resolves every entry. One that was never there has nothing to release, once that is certain.
// What promises digests is to come back at those.
func (r *Releaser) find(ctx context.Context, reg *registry.Client, entries []v1alpha1.ArtifactStatus, promised bool, out *Released) ([]Finding, error) {
	var found []Finding
	for _, e := range entries {
		d, err := reg.Resolve(ctx, e.Repository, e.ArtifactVersion)
		f := Finding{ArtifactStatus: e}
		switch {
		case errors.Is(err, registry.ErrNotFound):
			if wait := registry.SettlesIn(err); wait > 0 {
				out.Absent, out.Wait = append(out.Absent, e.Repository+":"+e.ArtifactVersion), max(out.Wait, wait)
			}
			if e.Digest == "" {
				continue
			}
		case err != nil:
			return nil, fmt.Errorf("resolving %s:%s: %w", e.Repository, e.ArtifactVersion, err)
		default:
			f.earlier, f.There = e.Digest, true
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
func (r *Releaser) group(job Task, found []Finding) map[string][]Finding {
	groups := map[string][]Finding{}
	for _, f := range found {
		name := tombstone.Name(job.Manifest, job.Cause, f.Repository+":"+f.ArtifactVersion)
		groups[name] = append(groups[name], f)
	}
	return groups
}
