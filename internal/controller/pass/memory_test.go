package pass_test

import (
	"context"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
)

// remembers is a reconciler that calls do in each pass over an object, and then remembers the object's UID.
type remembers[T client.Object] struct {
	do  func(T)
	all []types.UID
}

func (r *remembers[T]) Reconcile(_ context.Context, o T) (ctrl.Result, error) {
	uid := o.GetUID()
	r.do(o)
	r.all = append(r.all, uid)
	return ctrl.Result{}, nil
}

func (r *remembers[T]) Forget(uid types.UID) {
	r.all = slices.DeleteFunc(r.all, func(one types.UID) bool { return one == uid })
}

// The memory of an object must outlast neither the object nor a pass during which the object is deleted.
func TestNothingIsRememberedOfWhatIsGone(t *testing.T) {
	t.Parallel()
	w := passtest.NewWorld(t)
	var memory pass.Memory
	stores, manifests := &remembers[*v1alpha1.ArtifactStore]{do: func(*v1alpha1.ArtifactStore) {}}, &remembers[*v1alpha1.ArtifactManifest]{all: []types.UID{"uid-of-acme"}}
	r := pass.Remember(w.API, &memory, stores)
	pass.Remember(w.API, &memory, manifests)
	run := func(when string, want ...types.UID) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(w.Store)}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(stores.all, want) {
			t.Errorf("%s: %v are remembered, want %v", when, stores.all, want)
		}
	}
	remove := func(s *v1alpha1.ArtifactStore) {
		t.Helper()
		if s.Finalizers = nil; w.API.Update(t.Context(), s) != nil || w.API.Delete(t.Context(), s) != nil {
			t.Fatal("the store cannot be deleted")
		}
	}
	run("it is there", "uid-of-acme")
	if memory.Forget(w.Store); len(stores.all) > 0 || len(manifests.all) != 1 {
		t.Errorf("forgotten: %v of stores and %v of manifests are remembered", stores.all, manifests.all)
	}
	run("it is there again", "uid-of-acme")
	stores.do = func(s *v1alpha1.ArtifactStore) {
		remove(s)
		again := w.Store.DeepCopy()
		again.UID, again.ResourceVersion = "another", ""
		if err := w.API.Create(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		again.DeepCopyInto(s) // as after a patch
	}
	run("another has its name by the end of the pass")
	stores.do = remove
	run("it is gone by the end of the pass")
	run("it is gone")
}
