package pass

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/internal/reference"
)

// Forgetter is a reconciler that remembers something of objects by their UID.
type Forgetter[T client.Object] interface {
	reconcile.ObjectReconciler[T]
	// Forget drops what is remembered of an object that is gone.
	Forget(uid types.UID)
}

// Memory is all that reconcilers remember of objects by their UID, so that it is dropped in one place once an object is
// gone, also if somebody took its finalizer off. nil is an empty one. Reconcilers are added before the manager starts; after that
// it is safe for concurrent use.
type Memory struct{ forgets []func(gone client.Object) }

// Forget drops what is remembered of an object that is gone. Call it when the cache has dropped the object.
func (m *Memory) Forget(gone client.Object) {
	if m == nil {
		return
	}
	for _, forget := range m.forgets {
		forget(gone)
	}
}

// Remember makes a reconciler of one for objects, which it reads with c, a cache, and adds what that one remembers to m.
//
// A pass that runs while its object goes may remember it again. So each pass ends with a look into the cache: if the object
// is not there, what is remembered is dropped; if it still is, Forget is called later, when the cache drops it.
func Remember[T client.Object](c client.Client, m *Memory, r Forgetter[T]) reconcile.Reconciler {
	m.forgets = append(m.forgets, func(gone client.Object) {
		if _, ok := gone.(T); ok {
			r.Forget(gone.GetUID())
		}
	})
	return reconcile.AsReconciler(c, remembering[T]{r, c, m})
}

type remembering[T client.Object] struct {
	of     reconcile.ObjectReconciler[T]
	cache  client.Reader
	memory *Memory
}

// Reconcile runs one pass over one object.
func (r remembering[T]) Reconcile(ctx context.Context, o T) (ctrl.Result, error) {
	key, was, now := client.ObjectKeyFromObject(o), reference.Self(o).Blank(), reference.Self(o).Blank()
	was.SetUID(o.GetUID()) // a write of the pass may find another object of this name, and o be that one then
	defer func() {
		err := r.cache.Get(context.WithoutCancel(ctx), key, now, client.UnsafeDisableDeepCopy) // only the UID is read
		if client.IgnoreNotFound(err) == nil && now.GetUID() != was.GetUID() {
			r.memory.Forget(was)
		}
	}()
	return r.of.Reconcile(ctx, o)
}
