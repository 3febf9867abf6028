package release

import (
	"context"
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// A release that ends between any two of its writes, or of which any write fails, loses nothing, and the next one ends it.
func TestI4ACrashBetweenAnyTwoWritesOfARelease(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("Once=", once), func(t *testing.T) { t.Parallel(); crashInReleases(t, once) })
	}
}

func crashInReleases(t *testing.T, once bool) {
	t.Helper()
	for n := 0; ; n++ {
		w := newWorld(t, "a", "b", "c", "d")
		w.crash.set(n, once)
		_, err := w.releaser().Release(t.Context(), w.task())
		ended := w.crash.writes <= n
		when := fmt.Sprintf("after %d writes", n)
		w.whole(when)
		w.crash.set(-1, false)
		out, again := w.releaser().Release(t.Context(), w.task())
		for range 3 {
			if again == nil && out.Wait > 0 { // what is gone by nobody's record is asked for twice
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
		}
		if ended {
			if err != nil || n < 5 {
				t.Errorf("the release ends after %d writes: %v", n, err)
			}
			return
		}
	}
}

// A restore that ends between any two of its writes, or of which any write fails, is ended by the next one.
func TestI5ACrashBetweenAnyTwoWritesOfARestore(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("Once=", once), func(t *testing.T) { t.Parallel(); crashInRestores(t, once) })
	}
}

func crashInRestores(t *testing.T, once bool) {
	t.Helper()
	for n := 0; ; n++ {
		w := newWorld(t, "a", "b")
		if _, err := w.releaser().Release(t.Context(), w.task()); err != nil {
			t.Fatal(err)
		}
		w.crash.set(n, once)
		err := w.restore()
		ended := w.crash.writes <= n
		when := fmt.Sprintf("after %d writes of a restore", n)
		w.whole(when)
		w.crash.set(-1, false)
		for range 3 {
			if again := w.restore(); again != nil {
				t.Fatalf("%s: the next restore: %v (the first: %v)", when, again, err)
			}
		}
		for name, d := range w.digests {
			if at := w.at(name, "1"); at != d {
				t.Errorf("%s: the tag of %s is at %q, want %s", when, name, at, d)
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

// restore restores every tombstone.
func (w *world) restore() error {
	r := w.releaser()
	for _, grave := range w.tombstones() {
		var s v1alpha1.ArtifactStore
		if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, &s); err != nil {
			return err
		}
		reg, err := r.Open(w.t.Context(), &s)
		if err != nil {
			return err
		}
		all := func(v1alpha1.TombstoneArtifact) bool { return true }
		if _, err := r.Restore(w.t.Context(), reg, &s, &grave, all, func(context.Context) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
