package pass

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/internal/reference"
)

// Forgetter is a reconciler that keeps memory of objects by their UID.
type Forgetter[T client.Object] interface {
	reconcile.ObjectReconciler[T]
	// Forget drops what is remembered of an object that is gone.
	Forget(uid types.UID)
}

// Memory is everything that reconcilers remember of objects by their UID. It drops that in one
// place once an object is gone, even if somebody else removed its finalizer. A nil Memory is empty.
// Reconcilers are added before the manager starts; after that it is safe for concurrent use.
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

// Remember wraps a reconciler of objects, which it reads with c, a cache, and adds the reconciler's memory to m.
//
// A pass that runs while its object is being deleted may remember it again, so
// each pass ends with a read of the cache. If the object is gone, the memory of it
// is dropped. If it still exists, Forget is called later, when the cache drops it.
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
	was.SetUID(o.GetUID()) // a write of the pass may turn o into another object of this name
	defer func() {
		err := r.cache.Get(context.WithoutCancel(ctx), key, now, client.UnsafeDisableDeepCopy) // only the UID is read
		if client.IgnoreNotFound(err) == nil && now.GetUID() != was.GetUID() {
			r.memory.Forget(was)
		}
	}()
	return r.of.Reconcile(ctx, o)
}
