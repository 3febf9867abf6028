package wake

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// LifeOrState passes what LifeOnly passes, and changes of an
// Artifact's state, which a purge sets if it gives a copy back.
func LifeOrState() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.Artifact)
		is, ok2 := e.ObjectNew.(*v1alpha1.Artifact)
		return ok1 && ok2 && was.Status.State != is.Status.State
	}})
}

// LifeOrReadiness passes what LifeOnly passes, and updates by which a store became Ready, or no longer is.
func LifeOrReadiness() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		return ok1 && ok2 && readiness(was).Status != readiness(is).Status
	}})
}

// Artifacts wakes all Artifacts when the mirror's store changes.
// A pass over an Artifact that is not due asks no registry.
func Artifacts(r client.Reader, mirror client.ObjectKey) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		if client.ObjectKeyFromObject(o) != mirror {
			return nil
		}
		var all v1alpha1.ArtifactList
		if err := r.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // they are only read
			log.FromContext(ctx).Error(err, "Finding which Artifacts to wake")
			return nil
		}
		return requests(&all, func(client.Object) bool { return true })
	})
}
