package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/artifact"
	"github.com/nfo-operator/nfo/internal/controller/wake"
)

// setupNeed registers the controller that reads which images are needed. It reads them again when any
// store changes, because other images may then be mirrored. The mirror's store is in the manager's
// namespace, whichever namespaces are watched. Without a mirror, the controller does nothing.
func setupNeed(mgr manager.Manager, in entry, r *artifact.NeedReconciler) error {
	toMirror := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: r.Mirror}}
	})
	b := ctrl.NewControllerManagedBy(mgr).Named("artifactneed").
		Watches(&v1alpha1.ArtifactStore{}, toMirror, builder.WithPredicates(wake.LifeOnly())).
		Watches(&v1alpha1.Artifact{}, toMirror, builder.WithPredicates(wake.LifeOnly()))
	in.watched = nil
	return complete(b, in, reconcile.AsReconciler(mgr.GetClient(), r), 1)
}
