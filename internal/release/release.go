package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/batch"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/tombstone"
	"github.com/nfo-operator/nfo/internal/workload"
)

// tagsAtOnce is how many tags of a tombstone are asked for, removed or restored at a time.
const tagsAtOnce = 8

// TagStays is the reason of a tombstone's entry whose tag the registry would not remove alone.
const TagStays = v1alpha1.TagDeleteUnsupported + ": the registry cannot remove a tag alone; the tag goes with its digest at the purge"

// Releaser lets artifacts go: evidence, tombstone, untag, holders once more.
type Releaser struct {
	API     client.Client
	Live    client.Reader
	Holders *reference.Finder
	Open    func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error)
	Purges  *Purges
	// Journal notes what is done; nil only logs it.
	Journal *journal.Journal
	// Workloads reads, live, what a store's workloads run; nil for nobody's.
	Workloads func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error)
	stores    batch.Reads[string, []v1alpha1.ArtifactStore] // of the cluster
	manifests batch.Reads[scope, []v1alpha1.ArtifactManifest]
	// namespaces are read by name: whether they are being deleted.
	namespaces batch.Reads[string, bool]
	Clock      clock.PassiveClock // for ages
	Now        func() time.Time   // the API server's time, for graces
	Places     place.Rules
}

// scope is what manifests are listed of: a namespace, or those of one upload path in it.
type scope struct {
	namespace string
	path      v1alpha1.UploadPath
}

// Release lets entries of a manifest go: all of them when it is being deleted, or those that
// left its spec. It can be run again after any interruption and ends what was begun.
func (r *Releaser) Release(ctx context.Context, job Task) (Released, error) {
	began := r.Clock.Now()
	out, err := r.attempt(ctx, job)
	r.Journal.Released(ctx, job.ended(out, err, r.Clock.Since(began)))
	return out, err
}

// attempt releases without saying so.
func (r *Releaser) attempt(ctx context.Context, job Task) (Released, error) {
	ev, err := r.gather(ctx, job)
	if err != nil || len(ev.holders) > 0 || ev.untouched != "" {
		return Released{Holders: ev.holders, Untouched: ev.untouched}, err
	}
	running, err := r.running(ctx, ev.store)
	if holders := running.Holders(job.Manifest, job.Entries); err != nil || len(holders) > 0 {
		return Released{Holders: holders}, err
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
	entries, err := statuses(ctx, reg, running, job.Entries, found)
	if err != nil {
		return out, err
	}
	if out.Holders = running.Holders(job.Manifest, entries); len(out.Holders) > 0 {
		return out, nil
	}
	for name, group := range job.Group(found) {
		u := &untagging{Releaser: r, reg: reg, job: job, entries: entries, reasons: map[string]string{}}
		if done, err := u.release(ctx, &ev, name, group, &out); done || err != nil {
			return out, err
		}
	}
	out.stay = ev.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported
	return out, nil
}

// lateHolders looks once more for what holds a manifest whose tags are gone.
func (r *Releaser) lateHolders(ctx context.Context, s *v1alpha1.ArtifactStore, m *v1alpha1.ArtifactManifest, entries []v1alpha1.ArtifactStatus) ([]reference.Holder, error) {
	found, err := r.Holders.Live(ctx, m)
	if err != nil || len(found.Holders) > 0 || found.KindGoing {
		return found.Holders, err
	}
	if unlisted, err := r.unlistedHolders(ctx, m); err != nil || len(unlisted) > 0 {
		return unlisted, err
	}
	running, err := r.running(ctx, s)
	return running.Holders(m, entries), err
}

// running reads what the workloads run that a store selects. It may take seconds in a large cluster, so that it is not part of
// the evidence that each write needs anew: it is asked before the first untag and after the last one (I14).
func (r *Releaser) running(ctx context.Context, s *v1alpha1.ArtifactStore) (*workload.Reading, error) {
	if r.Workloads == nil {
		return nil, nil //nolint:nilnil // a nil Reading is one, of nothing
	}
	reading, err := r.Workloads(ctx, s)
	if err == nil {
		err = reading.Unreadable()
	}
	if err != nil {
		return nil, fmt.Errorf("checking the workloads that store %s selects: %w", s.Name, err)
	}
	return reading, nil
}

// statuses are entries as they are recorded, and as they were found in the registry: what runs may use either digest or,
// of an index, the digest of a part. The parts are only asked for if a reading can say that they are used.
func statuses(ctx context.Context, reg *registry.Client, running *workload.Reading, entries []v1alpha1.ArtifactStatus, found []Finding) ([]v1alpha1.ArtifactStatus, error) {
	all := slices.Clone(entries)
	for _, f := range found {
		all = append(all, f.ArtifactStatus)
		if running == nil || !f.There || (f.MediaType != ocispec.MediaTypeImageIndex && f.MediaType != registry.MediaTypeDockerManifestList) {
			continue
		}
		index, err := reg.Manifest(ctx, f.Repository, digest.Digest(f.Digest))
		if errors.Is(err, registry.ErrNotFound) { // its tag was there a moment ago: look at everything again
			err = fmt.Errorf("%w: %s does not exist", reference.ErrSuperseded, f.Digest)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the parts of %s:%s: %w", f.Repository, f.ArtifactVersion, err)
		}
		for _, child := range index.Children {
			part := f.ArtifactStatus
			part.Digest = child.Digest.String()
			all = append(all, part)
		}
	}
	return all, nil
}

// undo puts the tags of a tombstone back when a holder has appeared meanwhile, or may have.
func (r *Releaser) undo(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, t *v1alpha1.Tombstone) error {
	_, err := r.Restore(ctx, reg, s, t, func(v1alpha1.TombstoneArtifact) bool { return true }, nil)
	return err
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

// resolveAll finds where tags are, some at a time. The errors say which the registry says do not exist.
func resolveAll(ctx context.Context, reg *registry.Client, entries []v1alpha1.ArtifactStatus) (at []ocispec.Descriptor, absent []error, err error) {
	at, absent = make([]ocispec.Descriptor, len(entries)), make([]error, len(entries))
	g, resolving := errgroup.WithContext(ctx)
	g.SetLimit(tagsAtOnce)
	for i, e := range entries {
		g.Go(func() error {
			at[i], absent[i] = reg.Resolve(resolving, e.Repository, e.ArtifactVersion)
			if absent[i] == nil || errors.Is(absent[i], registry.ErrNotFound) {
				return nil
			}
			return fmt.Errorf("resolving %s:%s: %w", e.Repository, e.ArtifactVersion, absent[i])
		})
	}
	return at, absent, g.Wait()
}

// find resolves every entry. One that was never there has nothing to release, once that is certain.
// What promises digests is to come back at those.
func (r *Releaser) find(ctx context.Context, reg *registry.Client, entries []v1alpha1.ArtifactStatus, promised bool, out *Released) ([]Finding, error) {
	at, absent, err := resolveAll(ctx, reg, entries)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for i, e := range entries {
		f := Finding{ArtifactStatus: e}
		if absent[i] != nil {
			if wait := registry.SettlesIn(absent[i]); wait > 0 {
				out.Absent, out.Wait = append(out.Absent, e.Repository+":"+e.ArtifactVersion), max(out.Wait, wait)
			}
			if e.Digest == "" {
				continue
			}
		} else {
			f.earlier, f.There = e.Digest, true
			f.Digest, f.MediaType, f.Size = at[i].Digest.String(), at[i].MediaType, at[i].Size
		}
		if promised && e.Digest != "" && f.Digest != e.Digest {
			f.sealed = &e
		}
		found = append(found, f)
	}
	return found, nil
}

// Group sorts findings by the name of the tombstone that they belong to. That of a manifest takes all, what has left its list
// while something held it too; if that is more than a tombstone takes, what has left is in others beside it.
func (j Task) Group(found []Finding) map[string][]Finding {
	listed := map[inventory.Entry]bool{}
	for _, a := range j.Manifest.Spec.Artifacts {
		listed[inventory.Entry{Name: a.ArtifactName, Version: a.ArtifactVersion}] = true
	}
	together := len(j.Entries) <= tombstone.MaxEntries
	groups := map[string][]Finding{}
	for _, f := range found {
		of := f.Repository + ":" + f.ArtifactVersion
		name := tombstone.Name(j.Manifest, j.Cause, of)
		if j.Cause == v1alpha1.CauseReleased && !together && !listed[inventory.KeyOf(f.ArtifactStatus)] {
			name = tombstone.Beside(j.Manifest, of)
		}
		groups[name] = append(groups[name], f)
	}
	return groups
}
