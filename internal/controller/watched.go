package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/internal/reference"
)

// within has a reconciler work in the watched namespaces alone. Its watches see the product's kinds everywhere,
// because what an object elsewhere keeps is kept all the same.
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

// cachedIn is where the cache reads the kinds of which the manager may read those in watched namespaces only; nil
// means everywhere.
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
