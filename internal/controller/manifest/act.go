package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// maxOverwritten is the most tombstones for overwritten digests that one manifest has at a time.
const maxOverwritten = 128

// manifestDone is the outcome of the acts of a pass.
type manifestDone struct {
	release release.Released
	moved   []string // a note for each tag that was overwritten
	undone  release.Undone
	reseat  reseat
	// recorded is true if all overwritten digests are in tombstones, whatever failed after that.
	recorded bool
	again    time.Duration // how long until the next pass; 0 for no preference
}

func (d manifestDone) restored() string {
	if len(d.undone.Back) == 0 {
		return ""
	}
	return fmt.Sprintf("Restored %s from tombstones: %s.", v1alpha1.Count(len(d.undone.Back), "tag", "tags"), strings.Join(d.undone.Back, ", "))
}

func (d manifestDone) lost() string {
	if len(d.undone.Lost) == 0 {
		return ""
	}
	return fmt.Sprintf("The registry says that the recorded digests of %s do not exist. nfo restores the tags if the digests are there again within the grace period; otherwise push these artifacts again.", strings.Join(d.undone.Lost, ", "))
}

// tell records events for the tags that were restored, and for those that cannot be.
func (d manifestDone) tell(to events.EventRecorder, m *v1alpha1.ArtifactManifest) {
	if note := d.restored(); note != "" {
		pass.Restored(to, m, note)
	}
	if note := d.lost(); note != "" {
		pass.UndoLost(to, m, note)
	}
	d.reseat.tell(to, m)
}

// act carries out the verdict in the order that loses nothing: record overwritten digests, restore, release.
func (r *Reconciler) act(ctx context.Context, seen manifestSeen, v manifestVerdict) (manifestDone, error) {
	var done manifestDone
	leave, err := r.enter(seen, v)
	if err != nil {
		return done, err
	}
	defer leave()
	if v.unsteady {
		r.Polls.Again(seen.manifest) // one whole round must find the digests that are now recorded
	}
	if v.poll > 0 && seen.polled {
		done.again = r.Polls.Plan(seen.manifest, v.poll)
	}
	if err := r.recover(ctx, seen, v, &done); err != nil {
		r.Polls.Again(seen.manifest)
		return done, err
	}
	if v.release == nil {
		return done, nil
	}
	// Its finalizer cannot be removed at an outdated version, so the next pass would release it again.
	if err := r.statuses.Current(seen.manifest); err != nil {
		return done, err
	}
	done.release, err = r.Releaser.Release(ctx, *v.release)
	running := slices.ContainsFunc(done.release.Holders, reference.Holder.Runs)
	if errors.Is(err, reference.ErrHoldersUnknown) || running { // tags that an interrupted release has removed are or may be in use
		for _, from := range seen.interrupted() {
			err = errors.Join(err, r.restore(ctx, seen, from, &done))
		}
	}
	done.again = cmp.Or(done.release.Wait, done.again)
	if running { // most workloads are not watched, so that no event wakes the manifest
		done.again = nextWorkloadCheck(seen.manifest, r.Now())
	}
	return done, err
}

// The bounds of how long until workloads are read again for a release that they block.
const (
	minWorkloadCheck = 10 * time.Second
	maxWorkloadCheck = 10 * time.Minute
)

// nextWorkloadCheck returns how long until workloads are read again for a manifest
// that they hold: a quarter of the time since its deletion, within the bounds.
func nextWorkloadCheck(m *v1alpha1.ArtifactManifest, now time.Time) time.Duration {
	if m.DeletionTimestamp.IsZero() {
		return maxWorkloadCheck
	}
	return min(max(now.Sub(m.DeletionTimestamp.Time)/4, minWorkloadCheck), maxWorkloadCheck)
}

// enter gives a pass that will change a registry a place there. A pass that has polled has
// its place already. Without a free place it does not wait, but returns a lane.BusyError.
func (r *Reconciler) enter(seen manifestSeen, v manifestVerdict) (leave func(), err error) {
	acts := v.release != nil || len(v.overwritten)+len(v.restore)+len(v.reseat) > 0
	if !acts || seen.store == nil || seen.polled {
		return func() {}, nil
	}
	leave, wait := r.Releasing.Enter(seen.store, client.ObjectKeyFromObject(seen.manifest))
	if leave == nil {
		return nil, lane.BusyError(wait)
	}
	return leave, nil
}

// recover records overwritten digests, and restores removed tags.
func (r *Reconciler) recover(ctx context.Context, seen manifestSeen, v manifestVerdict, done *manifestDone) error {
	for i, e := range v.overwritten {
		kept := fmt.Sprintf("More than %d digests of this manifest wait for their grace period to end, so this one is not recorded: it stays in the registry, and no purge deletes it.", maxOverwritten)
		if seen.overwritten+i < maxOverwritten {
			grave, err := r.recordOverwritten(ctx, seen, e)
			if err != nil {
				return err
			}
			kept = fmt.Sprintf("The old digest is kept in tombstone %s.", grave)
		}
		done.moved = append(done.moved, fmt.Sprintf("Tag %s:%s was overwritten: it was at %s and is at %s. %s",
			e.Repository, e.ArtifactVersion, e.Digest, seen.tags[inventory.KeyOf(e)].digest, kept))
	}
	if len(v.restore) > 0 {
		if err := r.Releaser.Chosen(ctx, seen.manifest, seen.location, seen.tombstones); err != nil {
			return err
		}
	}
	for _, from := range v.restore {
		if err := r.restore(ctx, seen, from, done); err != nil {
			return err
		}
	}
	return r.reseat(ctx, seen, v.reseat, done)
}

// recordOverwritten records a digest whose tag was overwritten, before the status drops the
// digest, or whose tag a restore is about to overwrite. It returns the tombstone's name.
func (r *Reconciler) recordOverwritten(ctx context.Context, seen manifestSeen, e v1alpha1.ArtifactStatus) (string, error) {
	// Each digest has its own tombstone, and so its own grace period.
	name := tombstone.Name(seen.manifest, v1alpha1.CauseOverwritten, e.Repository+":"+e.ArtifactVersion+"@"+e.Digest)
	t := tombstone.New(seen.manifest, seen.store, v1alpha1.CauseOverwritten, name)
	t.Spec.Manifest.Spec.Artifacts = slices.DeleteFunc(slices.Clone(t.Spec.Manifest.Spec.Artifacts), func(a v1alpha1.ManifestArtifact) bool {
		return a.ArtifactName != e.ArtifactName || a.ArtifactVersion != e.ArtifactVersion
	})
	t, err := r.Releaser.Record(ctx, t, []release.Finding{{ArtifactStatus: e, There: true}})
	if err != nil {
		return "", err
	}
	reasons, err := r.Releaser.QuarantineOverwritten(ctx, seen.store, seen.manifest, e)
	if err != nil {
		return "", err
	}
	if err := r.Releaser.BeginGrace(ctx, t, reasons, seen.store.Spec.Purge.GracePeriod.Duration); err != nil {
		return "", err
	}
	return t.Name, nil
}

// restore restores tags, after a live check that the manifest has not changed:
// a former leader must not restore tags of a manifest that no longer exists.
func (r *Reconciler) restore(ctx context.Context, seen manifestSeen, from restoration, done *manifestDone) error {
	reg, err := r.Registries.Open(ctx, seen.store)
	if err != nil {
		return err
	}
	wanted := func(a v1alpha1.TombstoneArtifact) bool { return from.all || from.entries[a.Repository+":"+a.Tag] }
	still := func(ctx context.Context) error { return r.Releaser.Unchanged(ctx, seen.manifest) }
	got, err := r.Releaser.Restore(ctx, reg, seen.store, &from.tombstone, wanted, still)
	done.undone.Back = append(done.undone.Back, got.Back...)
	done.undone.Lost = append(done.undone.Lost, got.Lost...)
	if got.More || (len(got.Back) > 0 && seen.manifest.DeletionTimestamp.IsZero()) {
		r.Polls.Again(seen.manifest)
		done.again = time.Millisecond
	}
	return err
}
