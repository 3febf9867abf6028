package store

import (
	"slices"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
)

// A store may lose its finalizer while a manifest holds it.
func TestNothingIsRememberedOfAStoreThatLosesItsFinalizer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta("m")}
	m.Spec.ArtifactStoreRef.Name = "acme"
	if err := w.API.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var memory pass.Memory
	r := pass.Remember(w.API, &memory, w.r)
	passes := func() {
		t.Helper()
		for range 3 {
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(w.Store)}); err != nil {
				t.Fatal(err)
			}
			w.Later()
		}
	}
	passes()
	if err := w.API.Delete(t.Context(), w.store()); err != nil {
		t.Fatal(err)
	}
	passes()
	last := w.store()
	want := []string{"Reconciler.Holders.met", "Reconciler.Registries.open", "Reconciler.statuses.over", "Reconciler.Pings"}
	if at := passtest.Remembered(last.UID, w.r); !slices.Equal(at, want) {
		t.Errorf("of a store that is being deleted %v are remembered, want %v", at, want)
	}
	w.edit(func(s *v1alpha1.ArtifactStore) { s.Finalizers = nil })
	memory.Forget(last)
	if at := passtest.Remembered(last.UID, w.r); w.store() != nil || len(at) > 0 {
		t.Errorf("of a store that is gone %v are remembered", at)
	}
}
