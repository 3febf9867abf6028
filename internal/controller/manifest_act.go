package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/events"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// maxOverwritten bounds how many tombstones of overwritten digests one manifest has at a time.
const maxOverwritten = 128

// manifestDone is how the acts of a pass ended.
type manifestDone struct {
	release released
	moved   []string // a note for each tag that was pushed over
	undone  undone
	putBack putBack
	// recorded is true when all that was pushed over is in a tombstone, whatever failed after that.
	recorded bool
	again    time.Duration // when the next pass is wanted; 0 for no matter
}

func (d manifestDone) restored() string {
	if len(d.undone.back) == 0 {
		return ""
	}
	return fmt.Sprintf("Put back %d tags from tombstones: %s.", len(d.undone.back), strings.Join(d.undone.back, ", "))
}

func (d manifestDone) lost() string {
	if len(d.undone.lost) == 0 {
		return ""
	}
	return fmt.Sprintf("The registry says that the recorded digests of %s do not exist. nfo restores the tags if the digests are there again within the grace period; otherwise push these artifacts again.", strings.Join(d.undone.lost, ", "))
}

// tell tells of the tags that are back, and of those that cannot be.
func (d manifestDone) tell(to events.EventRecorder, m *v1alpha1.ArtifactManifest) {
	if note := d.restored(); note != "" {
		restored(to, m, note)
	}
	if note := d.lost(); note != "" {
		undoLost(to, m, note)
	}
	d.putBack.tell(to, m)
}

// act does what the verdict says, in the order that loses nothing: record what was pushed
// over, put back, let go.
func (r *ManifestReconciler) act(ctx context.Context, seen manifestSeen, v manifestVerdict) (manifestDone, error) {
	var done manifestDone
	leave, err := r.enter(seen, v)
	if err != nil {
		return done, err
	}
	defer leave()
	if v.unsteady {
		r.polls.again(seen.manifest) // a whole round must find what is recorded now
	}
	if v.poll > 0 && seen.polled {
		done.again = r.polls.plan(seen.manifest, v.poll)
	}
	if err := r.recover(ctx, seen, v, &done); err != nil {
		r.polls.again(seen.manifest)
		return done, err
	}
	if v.release == nil {
		return done, nil
	}
	done.release, err = r.releaser.release(ctx, *v.release)
	if errors.Is(err, reference.ErrHoldersUnknown) { // what an interrupted release has taken may be in use
		for _, from := range seen.interrupted() {
			err = errors.Join(err, r.restore(ctx, seen, from, &done))
		}
	}
	done.again = cmp.Or(done.release.wait, done.again)
	return done, err
}

// enter waits for nobody: it gives a pass that is to act in a registry a place there, which one that has
// polled has already, or errBusy.
func (r *ManifestReconciler) enter(seen manifestSeen, v manifestVerdict) (leave func(), err error) {
	acts := v.release != nil || len(v.overwritten)+len(v.restore)+len(v.putBack) > 0
	if !acts || seen.store == nil || seen.polled {
		return func() {}, nil
	}
	if leave, _ = r.releasing.enter(seen.store, seen.manifest.UID); leave == nil {
		return nil, errBusy
	}
	return leave, nil
}

// recover keeps what was pushed over, and puts back what was removed.
func (r *ManifestReconciler) recover(ctx context.Context, seen manifestSeen, v manifestVerdict, done *manifestDone) error {
	for i, e := range v.overwritten {
		kept := fmt.Sprintf("More than %d digests of this manifest wait for their grace period to end, so this one is not recorded: it stays in the registry, and no purge deletes it.", maxOverwritten)
		if seen.overwritten+i < maxOverwritten {
			grave, err := r.bury(ctx, seen, e)
			if err != nil {
				return err
			}
			kept = fmt.Sprintf("The old digest is kept in tombstone %s.", grave)
		}
		done.moved = append(done.moved, fmt.Sprintf("Tag %s:%s was overwritten: it was at %s and is at %s. %s",
			e.Repository, e.ArtifactVersion, e.Digest, seen.tags[keyOf(e)].digest, kept))
	}
	for _, from := range v.restore {
		if err := r.restore(ctx, seen, from, done); err != nil {
			return err
		}
	}
	return r.putBack(ctx, seen, v.putBack, done)
}

// bury records a digest whose tag has moved on, before the status forgets it, or that is to lose its
// tag to a restore. It returns the tombstone's name.
func (r *ManifestReconciler) bury(ctx context.Context, seen manifestSeen, e v1alpha1.ArtifactStatus) (string, error) {
	// Each digest has a tombstone of its own, and so a grace period of its own.
	name := tombstoneName(seen.manifest, v1alpha1.CauseOverwritten, e.Repository+":"+e.ArtifactVersion+"@"+e.Digest)
	t := newTombstone(seen.manifest, seen.store, v1alpha1.CauseOverwritten, name)
	t.Spec.Manifest.Spec.Artifacts = slices.DeleteFunc(slices.Clone(t.Spec.Manifest.Spec.Artifacts), func(a v1alpha1.Artifact) bool {
		return a.ArtifactName != e.ArtifactName || a.ArtifactVersion != e.ArtifactVersion
	})
	t, err := r.releaser.record(ctx, t, []finding{{ArtifactStatus: e, there: true}})
	if err != nil {
		return "", err
	}
	reasons, err := r.releaser.quarantineOverwritten(ctx, seen.store, seen.manifest, e)
	if err != nil {
		return "", err
	}
	if err := r.releaser.bury(ctx, t, reasons, seen.store.Spec.Purge.GracePeriod.Duration); err != nil {
		return "", err
	}
	return t.Name, nil
}

// restore puts tags back, after a live look that the manifest still is what it was: an old
// leader must not bring back tags of a manifest that has gone.
func (r *ManifestReconciler) restore(ctx context.Context, seen manifestSeen, from restoration, done *manifestDone) error {
	reg, err := r.registries.Open(ctx, seen.store)
	if err != nil {
		return err
	}
	wanted := func(a v1alpha1.TombstoneArtifact) bool { return from.all || from.entries[a.Repository+":"+a.Tag] }
	still := func(ctx context.Context) error { return r.releaser.unchanged(ctx, seen.manifest) }
	got, err := r.releaser.restore(ctx, reg, seen.store, &from.tombstone, wanted, still)
	done.undone.back = append(done.undone.back, got.back...)
	done.undone.lost = append(done.undone.lost, got.lost...)
	if got.more || (len(got.back) > 0 && seen.manifest.DeletionTimestamp.IsZero()) {
		r.polls.again(seen.manifest)
		done.again = time.Millisecond
	}
	return err
}
