package version

import (
	"slices"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
)

// A definition may lose its finalizer while a design holds it.
func TestNothingIsRememberedOfAVersionThatLosesItsFinalizer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.design()
	d := &v1alpha1.NetworkFunctionDefinitionVersion{}
	edit := func(change func()) {
		t.Helper()
		w.get(d, "d")
		change()
		if err := w.API.Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	edit(func() { d.UID = "uid-of-d" })
	var memory pass.Memory
	r := pass.Remember(w.API, &memory, w.definitions)
	passes := func() {
		t.Helper()
		for range 2 {
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(d)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	passes()
	w.remove(d, "d")
	passes()
	if at := passtest.Remembered(d.UID, w.definitions); !slices.Equal(at, []string{"Reconciler.Holders.met", "Reconciler.statuses.over"}) {
		t.Errorf("of a definition that is being deleted %v are remembered", at)
	}
	edit(func() { d.Finalizers = nil })
	memory.Forget(d)
	if at := passtest.Remembered(d.UID, w.definitions); w.get(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d") || len(at) > 0 {
		t.Errorf("of a definition that is gone %v are remembered", at)
	}
}
