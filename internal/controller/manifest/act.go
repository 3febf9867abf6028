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

// maxOverwritten bounds how many tombstones of overwritten digests one manifest has at a time.
const maxOverwritten = 128

// manifestDone is how the acts of a pass ended.
type manifestDone struct {
	release release.Released
	moved   []string // a note for each tag that was overwritten
	undone  release.Undone
	putBack putBack
	// recorded is true when all that was overwritten is in a tombstone, whatever failed after that.
	recorded bool
	again    time.Duration // when the next pass is wanted; 0 for no matter
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

// tell reports the tags that are back, and those that cannot be.
func (d manifestDone) tell(to events.EventRecorder, m *v1alpha1.ArtifactManifest) {
	if note := d.restored(); note != "" {
		pass.Restored(to, m, note)
	}
	if note := d.lost(); note != "" {
		pass.UndoLost(to, m, note)
	}
	d.putBack.tell(to, m)
}

// act does what the verdict says, in the order that loses nothing: record what was overwritten,
// put back, release.
func (r *Reconciler) act(ctx context.Context, seen manifestSeen, v manifestVerdict) (manifestDone, error) {
	var done manifestDone
	leave, err := r.enter(seen, v)
	if err != nil {
		return done, err
	}
	defer leave()
	if v.unsteady {
		r.Polls.Again(seen.manifest) // a whole round must find what is recorded now
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
	if err := r.statuses.Current(seen.manifest); err != nil { // it would be released once more: its finalizer cannot come off
		return done, err
	}
	done.release, err = r.Releaser.Release(ctx, *v.release)
	running := slices.ContainsFunc(done.release.Holders, reference.Holder.Runs)
	if errors.Is(err, reference.ErrHoldersUnknown) || running { // what an interrupted release has taken is or may be in use
		for _, from := range seen.interrupted() {
			err = errors.Join(err, r.restore(ctx, seen, from, &done))
		}
	}
	done.again = cmp.Or(done.release.Wait, done.again)
	if running { // of workloads no event wakes the manifest
		done.again = lookAgain(seen.manifest, r.Now())
	}
	return done, err
}

// How soon it is read again whether workloads use what is to be released.
const (
	lookSoon = 10 * time.Second
	lookLate = 10 * time.Minute
)

// lookAgain is when to look again for the workloads that keep a manifest: the longer they have, the later.
func lookAgain(m *v1alpha1.ArtifactManifest, now time.Time) time.Duration {
	if m.DeletionTimestamp.IsZero() {
		return lookLate
	}
	return min(max(now.Sub(m.DeletionTimestamp.Time)/4, lookSoon), lookLate)
}

// enter waits for nobody: it gives a pass that is to act in a registry a place there, which one that has
// polled has already, or a lane.BusyError.
func (r *Reconciler) enter(seen manifestSeen, v manifestVerdict) (leave func(), err error) {
	acts := v.release != nil || len(v.overwritten)+len(v.restore)+len(v.putBack) > 0
	if !acts || seen.store == nil || seen.polled {
		return func() {}, nil
	}
	leave, wait := r.Releasing.Enter(seen.store, client.ObjectKeyFromObject(seen.manifest))
	if leave == nil {
		return nil, lane.BusyError(wait)
	}
	return leave, nil
}

// recover keeps what was overwritten, and puts back what was removed.
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
	return r.putBack(ctx, seen, v.putBack, done)
}

// recordOverwritten records a digest whose tag has moved on, before the status forgets it, or that is to lose its tag
// to a restore. It returns the tombstone's name.
func (r *Reconciler) recordOverwritten(ctx context.Context, seen manifestSeen, e v1alpha1.ArtifactStatus) (string, error) {
	// Each digest has a tombstone of its own, and so a grace period of its own.
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

// restore puts tags back, after a live look that the manifest still is what it was: an old
// leader must not bring back tags of a manifest that has gone.
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
