package controller

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/nfo-operator/nfo/internal/chart"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Options is what the manager's command line decides for the controllers.
type Options struct {
	// Purger are the image and the resources of purge pods; without an image no CronJobs are made. Whether
	// registries at loopback addresses are allowed counts for the controllers too.
	Purger purge.Settings
	// Watched are the namespaces whose objects the controllers act on. Default: all.
	Watched reference.Watched
	// PollsPerSecond is each store's budget of requests for polling upload states. Above 0.
	PollsPerSecond float64
	// Metrics is where the metrics of stores are registered. Default: where controller-runtime
	// registers its own, which the manager serves.
	Metrics prometheus.Registerer
	// Charts bound the reading of one chart. Default: see chart.Limits.
	Charts chart.Limits
	// ChartCommand starts the process that reads a chart; see chart.NewReader. Default: this
	// program's own.
	ChartCommand []string
	// Places are the administrator's list of who may have stores where.
	Places place.Rules
	// Lookup resolves the hosts of registries, to recognise one registry under two names. Default: the
	// system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Clock default: the real one.
	Clock clock.PassiveClock
	// Transport, when not nil, sees every request to a registry.
	Transport func(http.RoundTripper) http.RoundTripper
	// SecondLook is how long a registry must have said that something does not exist before that is acted
	// on. Default: registry.SecondLook.
	SecondLook time.Duration

	now func() time.Time // the API server's time
}

// What the manager may do in the namespaces that it watches; the ClusterRole nfo-manager-watched is made from
// this. What it reads in all of them is in package reference. It holds few of the rights of purge jobs, to
// whose accounts it binds one ClusterRole, by name.
//
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores;artifactmanifests;networkfunctiondefinitionversions;networkservicedesignversions;sitenetworkservices,verbs=patch
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores/status,verbs=update;patch
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactmanifests/status;networkfunctiondefinitionversions/status;networkservicedesignversions/status;sitenetworkservices/status;tombstones/status,verbs=update
// +kubebuilder:rbac:groups=nfo.dev,resources=tombstones,verbs=create;update;delete
// +kubebuilder:rbac:groups="",resources=secrets;namespaces,verbs=get
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=nfo-purger,verbs=bind
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods;events,verbs=list
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=patch

// setup registers every controller with the manager.
func setup(ctx context.Context, mgr manager.Manager, o Options) error {
	if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	live, err := livelist.New(mgr.GetAPIReader(), mgr.GetConfig(), mgr.GetHTTPClient(), mgr.GetScheme(), mgr.GetRESTMapper(), livelist.Trim)
	if err != nil {
		return err
	}
	finder := reference.NewFinder(mgr.GetClient(), live, o.now)
	timed := newSpeeds(o.Clock)
	registries := newRegistries(live, o.Transport, timed, o.SecondLook, registry.AddressesOf(o.Purger.AllowLoopback))
	recorder := mgr.GetEventRecorder("nfo")
	reader, err := chart.NewReader(o.Charts, 1, o.ChartCommand...)
	if err != nil {
		return err
	}
	read, woken := newReadings(), make(chan event.GenericEvent)
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Metrics == nil {
		o.Metrics = metrics.Registry
	}
	letGo := &releaser{
		api: mgr.GetClient(), live: live, holders: finder, open: registries.Open, purges: newPurges(o.Clock), clock: o.Clock, now: o.now,
		places: o.Places,
	}
	return errors.Join(
		mgr.Add(&storeMetrics{stores: mgr.GetClient(), watched: o.Watched, to: o.Metrics}),
		setupVanished(mgr, o.Watched, &VanishedReconciler{releaser: letGo, vanished: newVanished(), events: recorder}),
		setupStore(mgr, o.Watched, &StoreReconciler{
			Client: mgr.GetClient(), live: live, holders: finder, registries: registries, events: recorder,
			clock: o.Clock, now: o.now, purger: o.Purger, places: o.Places, lookup: o.Lookup, pings: map[types.UID]ping{}, lane: newLane(pingLane, timed, o.Clock),
		}),
		setupManifest(mgr, o.Watched, &ManifestReconciler{
			Client: mgr.GetClient(), holders: finder, registries: registries, events: recorder,
			polls: newPolls(o.PollsPerSecond, o.Clock), readings: read, catalogues: newCatalogues(mgr.GetClient(), o.Clock),
			releaser: letGo, polling: newLane(pollLane, timed, o.Clock), releasing: newLane(releaseLane, timed, o.Clock),
		}, woken),
		setupChart(mgr, o.Watched, &ChartReconciler{
			Client: mgr.GetClient(), holders: finder, registries: registries, reader: reader, readings: read, wake: woken,
			lane: newLane(chartLane, timed, o.Clock),
		}),
		setupDefinition(mgr, o.Watched, &VersionReconciler[*v1alpha1.NetworkFunctionDefinitionVersion]{
			Client: mgr.GetClient(), live: live, holders: finder, events: recorder,
		}),
		setupDesign(mgr, o.Watched, &VersionReconciler[*v1alpha1.NetworkServiceDesignVersion]{
			Client: mgr.GetClient(), live: live, holders: finder, events: recorder,
		}),
		setupSite(mgr, o.Watched, &VersionReconciler[*v1alpha1.SiteNetworkService]{
			Client: mgr.GetClient(), live: live, holders: finder, events: recorder,
		}),
	)
}

func setupStore(mgr manager.Manager, w reference.Watched, r *StoreReconciler) error {
	life, content := builder.WithPredicates(lifeOnly()), builder.WithPredicates(lifeOrContent())
	return ctrl.NewControllerManagedBy(mgr).Named("artifactstore").
		For(&v1alpha1.ArtifactStore{}, builder.WithPredicates(predicate.Or(lifeOrPurge(), lifeOrLoss()))).
		Watches(reference.BlankDefinition(), definitions(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactStoreList{} })).
		Watches(&batchv1.Job{}, storeOfJob()).
		Owns(&batchv1.CronJob{}, content).Owns(&rbacv1.RoleBinding{}, content).Owns(&corev1.ServiceAccount{}, content).
		Watches(&v1alpha1.ArtifactStore{}, overlapping(mgr.GetClient()), builder.WithPredicates(lifeOrReady())).
		Watches(&v1alpha1.ArtifactStore{}, storesSharing(mgr.GetClient()), builder.WithPredicates(newAddresses())).
		Watches(&v1alpha1.ArtifactManifest{}, storesSharing(mgr.GetClient()), life).
		Watches(&v1alpha1.ArtifactManifest{}, subjects(v1alpha1.KindArtifactStore), life).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, subjects(v1alpha1.KindArtifactStore), life).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, subjects(v1alpha1.KindArtifactStore), life).
		Watches(&v1alpha1.Tombstone{}, storesAt(mgr.GetClient()), life).
		WithOptions(workers(16)). // pingLane.all and some
		Complete(within(w, reconcile.AsReconciler(mgr.GetClient(), r)))
}

func setupManifest(mgr manager.Manager, w reference.Watched, r *ManifestReconciler, woken <-chan event.GenericEvent) error {
	life := builder.WithPredicates(lifeOnly())
	return ctrl.NewControllerManagedBy(mgr).Named("artifactmanifest").
		For(&v1alpha1.ArtifactManifest{}, builder.WithPredicates(lifeOrLoss())).
		Watches(reference.BlankDefinition(), definitions(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactManifestList{} })).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, subjects(v1alpha1.KindArtifactManifest), builder.WithPredicates(lifeOrApplications())).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, subjects(v1alpha1.KindArtifactManifest), life).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, manifestsByStore(mgr.GetClient()), life).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, manifestsByStore(mgr.GetClient()), life).
		Watches(&v1alpha1.ArtifactStore{}, holdersOf(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactManifestList{} }), builder.WithPredicates(lifeOrHealth())).
		Watches(&v1alpha1.ArtifactManifest{}, wanting(mgr.GetClient(), r.catalogues.change), builder.WithPredicates(lifeOrArtifacts())).
		WatchesRawSource(source.Channel(woken, &handler.EnqueueRequestForObject{})).
		WithOptions(workers(32)). // most of a release is waiting, for lists that those who wait share
		Complete(within(w, reconcile.AsReconciler(mgr.GetClient(), r)))
}

// setupChart gives the reading of charts workers of its own: it is what may take long.
func setupChart(mgr manager.Manager, w reference.Watched, r *ChartReconciler) error {
	life := builder.WithPredicates(lifeOnly())
	return ctrl.NewControllerManagedBy(mgr).Named("chart").
		For(&v1alpha1.ArtifactManifest{}, builder.WithPredicates(lifeOrArtifacts())).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, subjects(v1alpha1.KindArtifactManifest), life).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, manifestsByStore(mgr.GetClient()), life).
		Watches(&v1alpha1.ArtifactStore{}, holdersOf(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactManifestList{} }), builder.WithPredicates(lifeOrHealth())).
		WithOptions(workers(8)). // chartLane.all and some
		Complete(within(w, reconcile.AsReconciler(mgr.GetClient(), r)))
}

func setupDefinition(mgr manager.Manager, w reference.Watched, r *VersionReconciler[*v1alpha1.NetworkFunctionDefinitionVersion]) error {
	life := builder.WithPredicates(lifeOnly())
	mine := func() client.ObjectList { return &v1alpha1.NetworkFunctionDefinitionVersionList{} }
	return ctrl.NewControllerManagedBy(mgr).Named("networkfunctiondefinitionversion").
		For(&v1alpha1.NetworkFunctionDefinitionVersion{}, builder.WithPredicates(lifeOrLoss())).
		Watches(reference.BlankDefinition(), definitions(mgr.GetClient(), mine)).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, subjects(v1alpha1.KindDefinition), life).
		Watches(&v1alpha1.ArtifactManifest{}, holdersOf(mgr.GetClient(), mine), builder.WithPredicates(lifeOrArtifacts())).
		Watches(&v1alpha1.ArtifactStore{}, holdersOf(mgr.GetClient(), mine), life).
		WithOptions(workers(4)).
		Complete(within(w, reconcile.AsReconciler(mgr.GetClient(), r)))
}

func setupDesign(mgr manager.Manager, w reference.Watched, r *VersionReconciler[*v1alpha1.NetworkServiceDesignVersion]) error {
	life := builder.WithPredicates(lifeOnly())
	mine := func() client.ObjectList { return &v1alpha1.NetworkServiceDesignVersionList{} }
	return ctrl.NewControllerManagedBy(mgr).Named("networkservicedesignversion").
		For(&v1alpha1.NetworkServiceDesignVersion{}, builder.WithPredicates(lifeOrLoss())).
		Watches(reference.BlankDefinition(), definitions(mgr.GetClient(), mine)).
		Watches(&v1alpha1.SiteNetworkService{}, subjects(v1alpha1.KindDesign), life).
		Watches(&v1alpha1.ArtifactManifest{}, holdersOf(mgr.GetClient(), mine), builder.WithPredicates(lifeOrArtifacts())).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, holdersOf(mgr.GetClient(), mine), life).
		Watches(&v1alpha1.ArtifactStore{}, holdersOf(mgr.GetClient(), mine), life).
		WithOptions(workers(4)).
		Complete(within(w, reconcile.AsReconciler(mgr.GetClient(), r)))
}

func setupSite(mgr manager.Manager, w reference.Watched, r *VersionReconciler[*v1alpha1.SiteNetworkService]) error {
	mine := func() client.ObjectList { return &v1alpha1.SiteNetworkServiceList{} }
	return ctrl.NewControllerManagedBy(mgr).Named("sitenetworkservice").
		For(&v1alpha1.SiteNetworkService{}, builder.WithPredicates(lifeOrLoss())).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, holdersOf(mgr.GetClient(), mine), builder.WithPredicates(lifeOnly())).
		WithOptions(workers(4)).
		Complete(within(w, reconcile.AsReconciler(mgr.GetClient(), r)))
}

// setupVanished watches every kind that has the finalizer for objects that are deleted without it.
func setupVanished(mgr manager.Manager, w reference.Watched, r *VanishedReconciler) error {
	return ctrl.NewControllerManagedBy(mgr).Named("vanished").
		Watches(&v1alpha1.ArtifactStore{}, r.vanished.handler()).
		Watches(&v1alpha1.ArtifactManifest{}, r.vanished.handler()).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, r.vanished.handler()).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, r.vanished.handler()).
		Watches(&v1alpha1.SiteNetworkService{}, r.vanished.handler()).
		WithOptions(workers(1)).
		Complete(within(w, r))
}

// workers bounds how many objects of a kind are worked on at once, and the backoff of what
// fails: at most a minute, for a registry that is back should find us soon.
func workers(n int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: n,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, time.Minute),
	}
}
