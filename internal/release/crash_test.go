package release

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/reference"
)

// If the manager crashes between any two writes of a release, or any
// write fails, no digest is lost and the next release completes.
func TestI4ACrashBetweenAnyTwoWritesOfARelease(t *testing.T) {
	t.Parallel()
	eachCrash(t, crashInReleases)
}

// eachCrash runs a test for each kind of crash and each undo mode.
func eachCrash(t *testing.T, test func(t *testing.T, once bool, undo v1alpha1.UndoMode)) {
	t.Helper()
	for _, once := range []bool{false, true} {
		for _, undo := range []v1alpha1.UndoMode{v1alpha1.UndoUntagged, v1alpha1.UndoQuarantineTag} {
			t.Run(fmt.Sprintf("Once=%t,%s", once, undo), func(t *testing.T) { t.Parallel(); test(t, once, undo) })
		}
	}
}

func crashInReleases(t *testing.T, once bool, undo v1alpha1.UndoMode) {
	t.Helper()
	for n := 0; ; n++ {
		w := newWorld(t, "a", "b", "c", "d")
		w.keep(undo)
		w.crash.Set(n, once)
		_, err := w.releaser().Release(t.Context(), w.task())
		ended := w.crash.Writes() <= n
		when := fmt.Sprintf("after %d writes", n)
		w.whole(when)
		w.crash.Set(-1, false)
		out, again := w.releaser().Release(t.Context(), w.task())
		for range 3 {
			if again == nil && out.Wait > 0 { // a tag that is missing without a record is asked for twice
				out, again = w.releaser().Release(t.Context(), w.task())
			}
		}
		if again != nil || out.Wait > 0 {
			t.Fatalf("%s: the next release: %+v, %v (the first: %v)", when, out, again, err)
		}
		w.whole(when + " and a release")
		for name := range w.digests {
			if d := w.at(name, "1"); d != "" {
				t.Errorf("%s: the tag of %s is still at %s", when, name, d)
			}
			w.quarantined(when, name, undo == v1alpha1.UndoQuarantineTag)
		}
		if ended {
			if err != nil || n < 5 {
				t.Errorf("the release ends after %d writes: %v", n, err)
			}
			return
		}
	}
}

// If the manager crashes between any two writes of a restore, or any write fails, the next restore completes.
func TestI5ACrashBetweenAnyTwoWritesOfARestore(t *testing.T) {
	t.Parallel()
	eachCrash(t, crashInRestores)
}

func crashInRestores(t *testing.T, once bool, undo v1alpha1.UndoMode) {
	t.Helper()
	for n := 0; ; n++ {
		w := newWorld(t, "a", "b")
		w.keep(undo)
		if _, err := w.releaser().Release(t.Context(), w.task()); err != nil {
			t.Fatal(err)
		}
		w.crash.Set(n, once)
		err := w.restore()
		ended := w.crash.Writes() <= n
		when := fmt.Sprintf("after %d writes of a restore", n)
		w.whole(when)
		w.crash.Set(-1, false)
		for range 3 {
			if again := w.restore(); again != nil {
				t.Fatalf("%s: the next restore: %v (the first: %v)", when, again, err)
			}
		}
		for name, d := range w.digests {
			if at := w.at(name, "1"); at != d {
				t.Errorf("%s: the tag of %s is at %q, want %s", when, name, at, d)
			}
			if !once { // if the registry refuses to remove an undo tag, the tag stays until the purge
				w.quarantined(when, name, false)
			}
		}
		if left := w.tombstones(); len(left) > 0 {
			t.Errorf("%s: tombstone %s is left", when, left[0].Name)
		}
		if ended {
			if err != nil || n < 4 {
				t.Errorf("the restore ends after %d writes: %v", n, err)
			}
			return
		}
	}
}

// keep sets the undo mode of the store.
func (w *world) keep(undo v1alpha1.UndoMode) {
	w.t.Helper()
	var s v1alpha1.ArtifactStore
	err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, &s)
	if s.Spec.Purge.Undo = undo; err == nil {
		err = w.api.Update(w.t.Context(), &s)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// quarantined fails the test unless the undo tag of an artifact's digest exists as wanted.
func (w *world) quarantined(when, name string, want bool) {
	w.t.Helper()
	if at := w.at(name, graph.UndoTag(digest.Digest(w.digests[name]))); (at != "") != want {
		w.t.Errorf("%s: the undo tag of %s is at %q, want it to be there: %t", when, name, at, want)
	}
}

// A cache that lacks the latest tombstone of a tag chooses the one before, with an older digest: Chosen must refuse it.
func TestI5AnOlderUndoIsNotPutBackBeforeTheLaterOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	if _, err := w.releaser().Release(t.Context(), w.task()); err != nil {
		t.Fatal(err)
	}
	older := w.tombstones()[0]
	later, status := older.DeepCopy(), older.Status.DeepCopy()
	later.Name, later.UID, later.ResourceVersion = "later", "later", ""
	status.Artifacts[0].UntaggedAt = &metav1.Time{Time: status.Artifacts[0].UntaggedAt.Add(time.Hour)}
	if err := w.api.Create(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	later.Status = *status
	if err := w.api.Status().Update(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	r := w.releaser()
	if err := r.Chosen(t.Context(), w.manifest, w.location, []v1alpha1.Tombstone{older}); !errors.Is(err, reference.ErrSuperseded) {
		t.Errorf("without the later one: %v", err)
	}
	if err := r.Chosen(t.Context(), w.manifest, w.location, []v1alpha1.Tombstone{older, *later}); err != nil {
		t.Errorf("with both: %v", err)
	}
}

// restore restores every tombstone.
func (w *world) restore() error {
	for _, grave := range w.tombstones() {
		if err := w.restoreFrom(&grave); err != nil {
			return err
		}
	}
	return nil
}

// restoreFrom restores all entries of a tombstone.
func (w *world) restoreFrom(t *v1alpha1.Tombstone) error {
	r := w.releaser()
	var s v1alpha1.ArtifactStore
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, &s); err != nil {
		return err
	}
	reg, err := r.Open(w.t.Context(), &s)
	if err != nil {
		return err
	}
	all := func(v1alpha1.TombstoneArtifact) bool { return true }
	_, err = r.Restore(w.t.Context(), reg, &s, t, all, func(context.Context) error { return nil })
	return err
}
