package store

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
)

// If manifests come one after another, their store's status must be written at most every two seconds,
// and the last write must have the final count. A change of a condition must be written at once.
func TestCountsAreWrittenWhenTheyHaveSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.passes(3)
	made := 0
	for _, tc := range []struct {
		reason    string
		later     time.Duration
		manifests int
		disturb   func(*v1alpha1.ArtifactStore)
		again     time.Duration // 0 for any
		says      int32
	}{
		{"Referenced becomes True", 0, 1, nil, 0, 1},
		{"only counts change", 0, 1, nil, countsSettle, 1},
		{"and again: the first one still counts", countsSettle / 2, 3, nil, countsSettle / 2, 1},
		{"the trailing write has all", countsSettle / 2, 0, nil, 0, 5},
		{"the next change waits anew", 0, 1, nil, countsSettle, 5},
		{"another change takes it along", 0, 0, func(s *v1alpha1.ArtifactStore) { s.Generation++ }, 0, 6},
		{"after which nothing waits", countsSettle, 1, nil, countsSettle, 6},
		{"to the end", countsSettle, 0, nil, 0, 7},
	} {
		w.Clock.SetTime(w.Clock.Now().Add(tc.later))
		for range tc.manifests {
			made++
			m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta(fmt.Sprintf("m%d", made))}
			m.UID = types.UID(m.Name)
			m.Spec.ArtifactStoreRef.Name = "acme"
			if err := w.API.Create(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if tc.disturb != nil {
			w.edit(tc.disturb)
		}
		got, err := w.r.Reconcile(t.Context(), w.store())
		if err != nil || (tc.again > 0 && got.RequeueAfter != tc.again) {
			t.Errorf("%s: %v, %v, want it to come again after %s", tc.reason, got, err, tc.again)
		}
		if says := *w.store().Status.Manifests; says != tc.says {
			t.Errorf("%s: it says %d manifests, want %d", tc.reason, says, tc.says)
		}
	}
}

// A change that reverts before it is written ends its delay. The next change must wait as long as any.
func TestACountThatRevertsWaitsNoLonger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	manifest := func(name string) *v1alpha1.ArtifactManifest {
		m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta(name)}
		m.UID = types.UID(name)
		m.Spec.ArtifactStoreRef.Name = "acme"
		if err := w.API.Create(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	manifest("first")
	w.passes(3)
	pass := func(reason string, waits bool) {
		t.Helper()
		got, err := w.r.Reconcile(t.Context(), w.store())
		if err != nil || (got.RequeueAfter == countsSettle) != waits || *w.store().Status.Manifests != 1 {
			t.Errorf("%s: %v, %v, want it to wait for %s: %t", reason, got, err, countsSettle, waits)
		}
	}
	second := manifest("second")
	pass("a second manifest", true)
	if err := w.API.Delete(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	pass("the second manifest is gone", false)
	w.Clock.SetTime(w.Clock.Now().Add(countsSettle))
	manifest("third")
	pass("a third manifest", true)
}

// While it is unknown which manifests a store has, its status must not say that it has none.
func TestI2TheLastCountStaysWhileTheHoldersAreUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta("m")}
	m.Spec.ArtifactStoreRef.Name = "acme"
	if err := w.API.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.passes(3)
	for _, o := range []client.Object{m, referencetest.Definition(v1alpha1.KindArtifactManifest, time.Time{}), w.store()} {
		if err := w.API.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w.passes(3)
	w.says(v1alpha1.ConditionReferenced, "Unknown/"+v1alpha1.ReasonHoldersUnknown)
	if n := *w.store().Status.Manifests; n != 1 {
		t.Errorf("it says %d manifests, want the last known count", n)
	}
}
