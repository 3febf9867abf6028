package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/internal/reference"
)

// within limits a reconciler to the watched namespaces. Its watches see nfo's kinds in
// all namespaces, because what an object elsewhere references is held all the same.
func within(w reference.Watched, r reconcile.Reconciler) reconcile.Reconciler {
	if len(w) == 0 {
		return r
	}
	return reconcile.Func(func(ctx context.Context, key reconcile.Request) (ctrl.Result, error) {
		if !w.Has(key.Namespace) {
			return ctrl.Result{}, nil
		}
		return r.Reconcile(ctx, key)
	})
}

// cachedIn returns where the cache reads the kinds that the manager
// may read only in watched namespaces; nil means everywhere.
func cachedIn(w reference.Watched) map[string]cache.Config {
	if len(w) == 0 {
		return nil
	}
	in := map[string]cache.Config{}
	for _, namespace := range w {
		in[namespace] = cache.Config{}
	}
	return in
}
