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

// tagsAtOnce is the number of tags of a tombstone that are resolved, removed or restored at a time.
const tagsAtOnce = 8

// TagStays is the reason of a tombstone's entry whose tag the registry would not remove alone.
const TagStays = v1alpha1.TagDeleteUnsupported + ": the registry cannot remove a tag alone; the tag goes with its digest at the purge"

// Releaser releases artifacts and restores them.
type Releaser struct {
	API     client.Client
	Live    client.Reader
	Holders *reference.Finder
	Open    func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error)
	Purges  *Purges
	// Journal records what is done; nil only logs it.
	Journal *journal.Journal
	// Workloads reads, live, what the workloads that a store selects run; nil if workloads do not count.
	Workloads func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error)
	stores    batch.Reads[string, []v1alpha1.ArtifactStore] // of the cluster
	manifests batch.Reads[scope, []v1alpha1.ArtifactManifest]
	// namespaces has, by name, whether a namespace is being deleted.
	namespaces batch.Reads[string, bool]
	Clock      clock.PassiveClock // for ages
	Now        func() time.Time   // the API server's time, for graces
	Places     place.Rules
}

// scope is a set of manifests: those of a namespace, or only those with one upload path in it.
type scope struct {
	namespace string
	path      v1alpha1.UploadPath
}

// Release releases entries of a manifest: all of them when the manifest is being deleted, or those
// that have left its spec. After an interruption it can be run again and completes what it began.
func (r *Releaser) Release(ctx context.Context, job Task) (Released, error) {
	began := r.Clock.Now()
	out, err := r.attempt(ctx, job)
	r.Journal.Released(ctx, job.ended(out, err, r.Clock.Since(began)))
	return out, err
}

// attempt does the work of Release, without the journal.
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

// holdersAfterUntag reads the holders of a manifest again after its tags were removed.
func (r *Releaser) holdersAfterUntag(ctx context.Context, s *v1alpha1.ArtifactStore, m *v1alpha1.ArtifactManifest, entries []v1alpha1.ArtifactStatus) ([]reference.Holder, error) {
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

// running reads what the workloads that a store selects run. This may take seconds in a large cluster, so it is not
// part of the evidence that each write needs fresh: it is read before the first untag and after the last one (I14).
func (r *Releaser) running(ctx context.Context, s *v1alpha1.ArtifactStore) (*workload.Reading, error) {
	if r.Workloads == nil {
		return nil, nil //nolint:nilnil // a nil Reading is valid and empty
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

// statuses returns the entries as recorded and as found in the registry: a workload may use either digest or, for an index,
// the digest of a platform's image. It reads the children of an index only if there is a reading that could contain them.
func statuses(ctx context.Context, reg *registry.Client, running *workload.Reading, entries []v1alpha1.ArtifactStatus, found []Finding) ([]v1alpha1.ArtifactStatus, error) {
	all := slices.Clone(entries)
	for _, f := range found {
		all = append(all, f.ArtifactStatus)
		if running == nil || !f.There || (f.MediaType != ocispec.MediaTypeImageIndex && f.MediaType != registry.MediaTypeDockerManifestList) {
			continue
		}
		index, err := reg.Manifest(ctx, f.Repository, digest.Digest(f.Digest))
		if errors.Is(err, registry.ErrNotFound) { // the tag existed a moment ago: gather everything again
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

// undo restores the tags of a tombstone when a holder has appeared, or may have appeared, during the release.
func (r *Releaser) undo(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, t *v1alpha1.Tombstone) error {
	_, err := r.Restore(ctx, reg, s, t, func(v1alpha1.TombstoneArtifact) bool { return true }, nil)
	return err
}

// prepare reads what the first untag in a store may have to restore (I6). It returns
// nil if the registry is known to remove a tag alone, and if the tag does not exist.
func (r *Releaser) prepare(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, f Finding) (*registry.Trial, error) {
	if !f.There || s.Status.Capabilities.TagDelete == v1alpha1.Supported {
		return nil, nil
	}
	return reg.PrepareTrial(ctx, f.Repository, f.ArtifactVersion, digest.Digest(f.Digest))
}

// untagTrial removes the tag and records in the store whether the registry did so without deleting the digest. The context
// write ends when the evidence is too old; the result is recorded under ctx, because it stays true afterwards.
func (r *Releaser) untagTrial(ctx, write context.Context, trial *registry.Trial, s *v1alpha1.ArtifactStore) (reason string, err error) {
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

// resolveAll resolves tags, tagsAtOnce at a time. absent has an error for each tag that the registry says does not exist.
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

// find resolves every entry. It leaves out an entry that is missing and has no recorded
// digest: there is nothing to release, once the registry's answer is certain (out.Wait).
// With promised, a tag that has left its recorded digest is to be restored at that digest.
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

// Group groups findings by the name of their tombstone. The tombstone of a manifest takes
// all entries, including those that left its list while they were held. If that is more
// than a tombstone can have, the entries that left the list are in tombstones beside it.
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
