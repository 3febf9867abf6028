package admission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

// Every replica needs these rights in addition to those of the controllers: to ask what a user may do and, in the
// manager's namespace, to use the lease of the leader election.
//
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=nfo-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=nfo-system,resources=leases,resourceNames=nfo-manager,verbs=get;update
// +kubebuilder:rbac:groups="";events.k8s.io,namespace=nfo-system,resources=events,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,namespace=nfo-system,resources=events,verbs=patch
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// Options are the settings of the webhooks from the manager's command line.
type Options struct {
	// Watched are the namespaces that the operator acts in. Objects cannot be created in others. Default: all.
	Watched reference.Watched
	// Namespace is the manager's namespace, which has the store of the mirror. Default: nfo-system.
	Namespace string
	// Places are the rules that the controllers use.
	Places place.Rules
	// Charts is the reader that the controllers use: Helm's records are read like charts, one at a time in a process.
	Charts *chart.Reader
}

// Setup registers the webhook of every kind with the manager's webhook server, and makes the manager ready
// only when that server has started. The manager's cache must have the indexes of package reference.
func Setup(ctx context.Context, mgr manager.Manager, o Options) error {
	// Controllers fill the cache on the leader only, but the webhooks answer in every replica.
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
		watched: o.Watched,
	}
	workloads, err := workload.NewReader(mgr.GetConfig(), mgr.GetHTTPClient(), o.Charts, clock.RealClock{}, time.Now)
	if err != nil {
		return err
	}
	p := &preflight{
		lookup: l, events: mgr.GetEventRecorder("nfo"), places: o.Places, workloads: workload.NewKnown(workloads),
		mirror: client.ObjectKey{Namespace: cmp.Or(o.Namespace, v1alpha1.ManagerNamespace), Name: v1alpha1.MirrorName},
	}
	a := &access{reviews: mgr.GetClient()}
	j, err := journal.New(metrics.Registry)
	if err != nil {
		return err
	}
	err = errors.Join(
		builder.WebhookManagedBy(mgr, &v1alpha1.ArtifactStore{}).WithValidator(printable[*v1alpha1.ArtifactStore]{storeValidator(p, a), j}).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.ArtifactManifest{}).WithValidator(printable[*v1alpha1.ArtifactManifest]{manifestValidator(p), j}).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.NetworkFunctionDefinitionVersion{}).WithValidator(printable[*v1alpha1.NetworkFunctionDefinitionVersion]{definitionValidator(p), j}).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.NetworkServiceDesignVersion{}).WithValidator(printable[*v1alpha1.NetworkServiceDesignVersion]{designValidator(p), j}).Complete(),
		builder.WebhookManagedBy(mgr, &v1alpha1.SiteNetworkService{}).WithValidator(printable[*v1alpha1.SiteNetworkService]{siteValidator(p, a), j}).Complete(),
	)
	if err != nil {
		return fmt.Errorf("registering a webhook: %w", err)
	}
	return mgr.AddReadyzCheck("webhooks", mgr.GetWebhookServer().StartedChecker())
}
