package admission

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/reference"
)

// What the webhooks need beside the rights of the controllers.
//
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// Setup registers the webhook of every kind with the manager's webhook server, and makes readiness
// wait for that. The manager's cache must have the indexes of package reference. places are those of the controllers.
func Setup(ctx context.Context, mgr manager.Manager, places place.Rules) error {
	// Controllers fill the cache on the leader alone; the webhooks answer in every replica.
	for _, o := range []client.Object{
		&v1alpha1.ArtifactStore{}, &v1alpha1.ArtifactManifest{}, &v1alpha1.NetworkFunctionDefinitionVersion{},
		&v1alpha1.NetworkServiceDesignVersion{}, &v1alpha1.SiteNetworkService{}, &v1alpha1.Tombstone{},
	} {
		if _, err := mgr.GetCache().GetInformer(ctx, o); err != nil {
			return fmt.Errorf("filling the cache with %T: %w", o, err)
		}
	}
	l := &lookup{
		cached: mgr.GetClient(), live: mgr.GetAPIReader(), synced: mgr.GetCache().WaitForCacheSync,
		holders: reference.NewFinder(mgr.GetClient(), mgr.GetAPIReader(), time.Now),
	}
	p := &preflight{lookup: l, events: mgr.GetEventRecorder("nfo"), places: places}
	a := &access{reviews: mgr.GetClient()}
	err := errors.Join(
		builder.WebhookManagedBy(mgr, &v1alpha1.ArtifactStore{}).WithValidator(storeValidator(p, a)).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.ArtifactManifest{}).WithValidator(manifestValidator(p)).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.NetworkFunctionDefinitionVersion{}).WithValidator(definitionValidator(p)).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.NetworkServiceDesignVersion{}).WithValidator(designValidator(p)).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.SiteNetworkService{}).WithValidator(siteValidator(p, a)).Complete(),
	)
	if err != nil {
		return fmt.Errorf("registering a webhook: %w", err)
	}
	return mgr.AddReadyzCheck("webhooks", mgr.GetWebhookServer().StartedChecker())
}
