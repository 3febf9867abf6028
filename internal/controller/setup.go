package controller

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
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
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/controller/artifact"
	chartcontroller "github.com/nfo-operator/nfo/internal/controller/chart"
	"github.com/nfo-operator/nfo/internal/controller/manifest"
	"github.com/nfo-operator/nfo/internal/controller/manifest/polls"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pod"
	"github.com/nfo-operator/nfo/internal/controller/store"
	"github.com/nfo-operator/nfo/internal/controller/vanished"
	"github.com/nfo-operator/nfo/internal/controller/version"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	workloadcontroller "github.com/nfo-operator/nfo/internal/controller/workload"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/mirror/settings"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/workload"
)

// Options is what the manager's command line decides for the controllers.
type Options struct {
	// Purger has the image and the resources of purge pods; without an image, no CronJobs are
	// made. Its setting for registries at loopback addresses applies to the controllers, too.
	Purger cronjob.Settings
	// Watched are the namespaces whose objects the controllers act on. Default: all.
	Watched reference.Watched
	// PollsPerSecond is each store's budget of requests for polling upload states. It must be above 0.
	PollsPerSecond float64
	// Metrics is where the metrics of stores are registered. Default:
	// the registry of controller-runtime, which the manager serves.
	Metrics prometheus.Registerer
	// Charts reads charts, and the records of Helm. One process uses a single
	// reader for everything, because of the memory that reading takes.
	Charts *chart.Reader
	// Places is the administrator's list of which namespaces may have stores at which places.
	Places place.Rules
	// Cluster is how stores in the cluster's own registry are reached.
	Cluster registry.ClusterRegistry
	// Namespace is the manager's own, in which the mirror's store is. Default: v1alpha1.ManagerNamespace.
	Namespace string
	// Settings are the settings of the mirror; nil without a mirror.
	Settings settings.Settings
	// Mirror bounds what copying images into the mirror takes.
	Mirror MirrorBounds
	// MirrorFacts are what the pods' webhook also knows of the mirror. Default: those of Namespace.
	MirrorFacts *mirrored.Facts
	// Used takes the images that the pods' webhook sees. Default: an empty queue, for a manager without that webhook.
	Used *pod.Queue
	// RepairInterval is how often pods that cannot pull their images are listed. Default: pod.Interval.
	RepairInterval time.Duration
	// Lookup resolves the hosts of registries, to recognise one
	// registry under two names. Default: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Clock measures time. Default: the real clock.
	Clock clock.PassiveClock
	// Transport, when not nil, sees every request to a registry.
	Transport func(http.RoundTripper) http.RoundTripper
	// SecondLook is how long a registry must have said that something does
	// not exist before nfo acts on that. Default: registry.SecondLook.
	SecondLook time.Duration

	now     func() time.Time // the API server's time
	written *written
	journal *journal.Journal // counts and logs what is done
}

// The manager's permissions in the namespaces that it watches; the ClusterRole nfo-manager-watched is generated from
// them. Its permissions to read all namespaces are in package reference. The manager has few of the permissions of
// purge jobs itself: it may bind one ClusterRole, by name, to their accounts.
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
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=list
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=patch

// setup registers every controller with the manager.
func setup(ctx context.Context, mgr manager.Manager, o Options) error {
	in := entry{watched: o.Watched, written: o.written, memory: &pass.Memory{}}
	if err := errors.Join(wake.Index(ctx, mgr.GetFieldIndexer()), workloadcontroller.Index(ctx, mgr.GetFieldIndexer())); err != nil {
		return err
	}
	live, err := livelist.New(mgr.GetAPIReader(), mgr.GetConfig(), mgr.GetHTTPClient(), mgr.GetScheme(), mgr.GetRESTMapper(), livelist.Trim)
	if err != nil {
		return err
	}
	released, err := pass.NewReleased()
	if err != nil {
		return err
	}
	finder := reference.NewFinder(mgr.GetClient(), live, o.now)
	timed := lane.NewSpeeds(o.Clock)
	registries := backend.NewRegistries(live, o.Transport, timed, o.SecondLook, registry.AddressesOf(o.Purger.AllowLoopback), o.Cluster).Count(o.journal.Requests)
	recorder := mgr.GetEventRecorder("nfo")
	read, woken, byStore := chartcontroller.NewReadings(), wake.NewChannel(), wake.NewByStore(mgr.GetClient())
	next := wake.Next(woken, func() client.Object { return &v1alpha1.ArtifactManifest{} })
	reader, err := workload.NewReader(mgr.GetConfig(), mgr.GetHTTPClient(), o.Charts, o.Clock, o.now)
	if err != nil {
		return err
	}
	running := workload.NewKnown(reader)
	letGo := &release.Releaser{
		API: mgr.GetClient(), Live: live, Holders: finder, Open: registries.Open, Purges: release.NewPurges(o.Clock), Clock: o.Clock, Now: o.now,
		Places: o.Places, Workloads: running.Live, Journal: o.journal,
	}
	return errors.Join(
		setupPods(ctx, mgr, o),
		setupWorkload(mgr, in, &workloadcontroller.Reconciler{
			Client: mgr.GetClient(), Known: running, Clock: o.Clock, Now: o.now, Wake: woken, Handed: workloadcontroller.NewHanded(),
			Watches: &workloadcontroller.Watches{Client: mgr.GetClient(), Cache: mgr.GetCache(), Wake: woken, Done: ctx.Done()},
		}),
		mgr.Add(&storeMetrics{stores: mgr.GetClient(), watched: o.Watched, to: o.Metrics, journal: o.journal}),
		setupVanished(mgr, in, &vanished.Reconciler{Releaser: letGo, Queue: vanished.New(released, in.memory, in.watched), Events: recorder}),
		setupStore(mgr, in, &store.Reconciler{
			Client: mgr.GetClient(), Live: live, Holders: finder, Registries: registries, Events: recorder, Released: released, Journal: o.journal,
			Clock: o.Clock, Now: o.now, Purger: o.Purger, Places: o.Places, Cluster: o.Cluster, Lookup: o.Lookup, Pings: map[types.UID]store.Ping{}, Lane: lane.New(lane.Pings, timed, o.Clock).Observe(o.journal.Waits("pings")),
		}),
		setupManifest(mgr, in, &manifest.Reconciler{
			Client: mgr.GetClient(), Holders: finder, Registries: registries, Events: recorder, Released: released,
			Polls: polls.New(o.PollsPerSecond, o.Clock), Readings: read, Catalogues: manifest.NewCatalogues(mgr.GetClient(), o.Clock),
			Workloads: running, Now: o.now, Releaser: letGo,
			Polling: lane.New(lane.Polls, timed, o.Clock).Observe(o.journal.Waits("polls")).Wake(next), Releasing: lane.New(lane.Releases, timed, o.Clock).Observe(o.journal.Waits("releases")).Wake(next),
		}, woken, byStore),
		setupChart(mgr, in, &chartcontroller.Reconciler{
			Client: mgr.GetClient(), Live: live, Holders: finder, Registries: registries, Reader: o.Charts, Readings: read, Wake: woken,
			Lane: lane.New(lane.Charts, timed, o.Clock).Observe(o.journal.Waits("charts")),
		}, byStore),
		setupVersions(mgr, in, live, finder, recorder, released),
		setupNeed(mgr, in, &artifact.NeedReconciler{
			Client: mgr.GetClient(), Live: live, Images: reader.ReadImages, Watched: o.Watched, Rules: o.MirrorFacts.Rules, Clock: o.Clock, Now: o.now,
			Mirror: client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.MirrorName},
		}),
		mgr.Add(&settings.Keeper{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespace: o.Namespace, Settings: o.Settings}),
		setupArtifact(mgr, in, o, live, registries, timed),
	)
}

// setupVersions registers the controllers of the objects that reference manifests, or one another.
func setupVersions(mgr manager.Manager, in entry, live *livelist.Reader, finder *reference.Finder, recorder events.EventRecorder, released *pass.Released) error {
	return errors.Join(
		setupDefinition(mgr, in, &version.Reconciler[*v1alpha1.NetworkFunctionDefinitionVersion]{
			Client: mgr.GetClient(), Live: live, Holders: finder, Events: recorder, Released: released,
		}),
		setupDesign(mgr, in, &version.Reconciler[*v1alpha1.NetworkServiceDesignVersion]{
			Client: mgr.GetClient(), Live: live, Holders: finder, Events: recorder, Released: released,
		}),
		setupSite(mgr, in, &version.Reconciler[*v1alpha1.SiteNetworkService]{
			Client: mgr.GetClient(), Live: live, Holders: finder, Events: recorder, Released: released,
		}),
	)
}

func (o Options) withDefaults() Options {
	o.Namespace = cmp.Or(o.Namespace, v1alpha1.ManagerNamespace)
	if o.MirrorFacts == nil {
		o.MirrorFacts = &mirrored.Facts{Namespace: o.Namespace, Image: o.Purger.Image, Watched: o.Watched}
	}
	if o.Used == nil {
		o.Used = pod.NewQueue()
	}
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Metrics == nil {
		o.Metrics = metrics.Registry
	}
	o.Mirror.Copies = cmp.Or(o.Mirror.Copies, DefaultCopies)
	return o
}

func setupStore(mgr manager.Manager, in entry, r *store.Reconciler) error {
	life, content := builder.WithPredicates(wake.LifeOnly()), builder.WithPredicates(wake.LifeOrContent())
	b := ctrl.NewControllerManagedBy(mgr).Named("artifactstore").
		For(&v1alpha1.ArtifactStore{}, builder.WithPredicates(predicate.Or(wake.LifeOrPurge(), wake.LifeOrLoss(), wake.Readability()))).
		Watches(reference.BlankDefinition(), wake.Definitions(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactStoreList{} })).
		Watches(&batchv1.Job{}, wake.StoreOfJob()).
		Owns(&batchv1.CronJob{}, content).Owns(&rbacv1.RoleBinding{}, content).Owns(&corev1.ServiceAccount{}, content).
		Watches(&v1alpha1.ArtifactStore{}, wake.Overlapping(mgr.GetClient()), builder.WithPredicates(wake.LifeOrReady())).
		Watches(&v1alpha1.ArtifactStore{}, wake.StoresSharing(mgr.GetClient()), builder.WithPredicates(wake.NewAddresses())).
		Watches(&v1alpha1.ArtifactManifest{}, wake.StoresSharing(mgr.GetClient()), life).
		Watches(&v1alpha1.ArtifactManifest{}, wake.Subjects(v1alpha1.KindArtifactStore), life).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, wake.Subjects(v1alpha1.KindArtifactStore), life).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, wake.Subjects(v1alpha1.KindArtifactStore), life).
		Watches(&v1alpha1.Tombstone{}, wake.StoresAt(mgr.GetClient()), life)
	// all of lane.Pings and some
	return complete(b, in, pass.Remember(mgr.GetClient(), in.memory, r), 16)
}

// setupWorkload gives the reading of workloads its own workers, because reading a large cluster takes seconds.
func setupWorkload(mgr manager.Manager, in entry, r *workloadcontroller.Reconciler) error {
	differ := make(chan event.GenericEvent, 64)
	r.Known.Differs = func(s *v1alpha1.ArtifactStore) {
		select {
		case differ <- event.GenericEvent{Object: &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}}}:
		default: // this many are queued already, so that the store is read again in time
		}
	}
	b := ctrl.NewControllerManagedBy(mgr).Named("workload").
		For(&v1alpha1.ArtifactStore{}, builder.WithPredicates(wake.LifeOrHealth())).
		WatchesRawSource(source.Channel(differ, &handler.EnqueueRequestForObject{}))
	return complete(b, in, pass.Remember(mgr.GetClient(), in.memory, r), 4)
}

func setupManifest(mgr manager.Manager, in entry, r *manifest.Reconciler, woken <-chan event.GenericEvent, byStore *wake.ByStore) error {
	life := builder.WithPredicates(wake.LifeOnly())
	b := ctrl.NewControllerManagedBy(mgr).Named("artifactmanifest").
		For(&v1alpha1.ArtifactManifest{}, builder.WithPredicates(wake.LifeOrLoss())).
		Watches(reference.BlankDefinition(), wake.Definitions(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactManifestList{} })).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, wake.Subjects(v1alpha1.KindArtifactManifest), builder.WithPredicates(wake.LifeOrApplications())).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, wake.Subjects(v1alpha1.KindArtifactManifest), life).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, byStore.Handler(), life).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, byStore.Handler(), life).
		Watches(&v1alpha1.ArtifactStore{}, wake.HoldersOf(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactManifestList{} }), builder.WithPredicates(wake.LifeOrHealth())).
		Watches(&v1alpha1.ArtifactManifest{}, wake.Needing(mgr.GetClient(), r.Catalogues.Change), builder.WithPredicates(wake.LifeOrArtifacts())).
		WatchesRawSource(source.Channel(woken, &handler.EnqueueRequestForObject{}))
	// a release mostly waits for lists, which waiting releases share
	return complete(b, in, pass.Remember(mgr.GetClient(), in.memory, r), 32)
}

// setupChart gives the reading of charts its own workers, because reading a chart may take long.
func setupChart(mgr manager.Manager, in entry, r *chartcontroller.Reconciler, byStore *wake.ByStore) error {
	life := builder.WithPredicates(wake.LifeOnly())
	b := ctrl.NewControllerManagedBy(mgr).Named("chart").
		For(&v1alpha1.ArtifactManifest{}, builder.WithPredicates(wake.LifeOrArtifacts())).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, wake.Subjects(v1alpha1.KindArtifactManifest), life).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, byStore.Handler(), life).
		Watches(&v1alpha1.ArtifactStore{}, wake.HoldersOf(mgr.GetClient(), func() client.ObjectList { return &v1alpha1.ArtifactManifestList{} }), builder.WithPredicates(wake.LifeOrHealth()))
	// all of lane.Charts and some
	return complete(b, in, pass.Remember(mgr.GetClient(), in.memory, r), 8)
}

// versionPasses is how many passes over definitions, designs or sites run at once. A deletion mostly waits
// for lists, which waiting deletions share, and manifests wait for the deletions of definitions and designs.
const versionPasses = 16

func setupDefinition(mgr manager.Manager, in entry, r *version.Reconciler[*v1alpha1.NetworkFunctionDefinitionVersion]) error {
	life := builder.WithPredicates(wake.LifeOnly())
	mine := func() client.ObjectList { return &v1alpha1.NetworkFunctionDefinitionVersionList{} }
	b := ctrl.NewControllerManagedBy(mgr).Named("networkfunctiondefinitionversion").
		For(&v1alpha1.NetworkFunctionDefinitionVersion{}, builder.WithPredicates(wake.LifeOrLoss())).
		Watches(reference.BlankDefinition(), wake.Definitions(mgr.GetClient(), mine)).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, wake.Subjects(v1alpha1.KindDefinition), life).
		Watches(&v1alpha1.ArtifactManifest{}, wake.HoldersOf(mgr.GetClient(), mine), builder.WithPredicates(wake.LifeOrArtifacts())).
		Watches(&v1alpha1.ArtifactStore{}, wake.HoldersOf(mgr.GetClient(), mine), life)
	return complete(b, in, pass.Remember(mgr.GetClient(), in.memory, r), versionPasses)
}

func setupDesign(mgr manager.Manager, in entry, r *version.Reconciler[*v1alpha1.NetworkServiceDesignVersion]) error {
	life := builder.WithPredicates(wake.LifeOnly())
	mine := func() client.ObjectList { return &v1alpha1.NetworkServiceDesignVersionList{} }
	b := ctrl.NewControllerManagedBy(mgr).Named("networkservicedesignversion").
		For(&v1alpha1.NetworkServiceDesignVersion{}, builder.WithPredicates(wake.LifeOrLoss())).
		Watches(reference.BlankDefinition(), wake.Definitions(mgr.GetClient(), mine)).
		Watches(&v1alpha1.SiteNetworkService{}, wake.Subjects(v1alpha1.KindDesign), life).
		Watches(&v1alpha1.ArtifactManifest{}, wake.HoldersOf(mgr.GetClient(), mine), builder.WithPredicates(wake.LifeOrArtifacts())).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, wake.HoldersOf(mgr.GetClient(), mine), life).
		Watches(&v1alpha1.ArtifactStore{}, wake.HoldersOf(mgr.GetClient(), mine), life)
	return complete(b, in, pass.Remember(mgr.GetClient(), in.memory, r), versionPasses)
}

func setupSite(mgr manager.Manager, in entry, r *version.Reconciler[*v1alpha1.SiteNetworkService]) error {
	mine := func() client.ObjectList { return &v1alpha1.SiteNetworkServiceList{} }
	b := ctrl.NewControllerManagedBy(mgr).Named("sitenetworkservice").
		For(&v1alpha1.SiteNetworkService{}, builder.WithPredicates(wake.LifeOrLoss())).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, wake.HoldersOf(mgr.GetClient(), mine), builder.WithPredicates(wake.LifeOnly()))
	return complete(b, in, pass.Remember(mgr.GetClient(), in.memory, r), versionPasses)
}

// setupVanished watches every kind that has the finalizer for objects that are deleted without it.
func setupVanished(mgr manager.Manager, in entry, r *vanished.Reconciler) error {
	b := ctrl.NewControllerManagedBy(mgr).Named("vanished").
		Watches(&v1alpha1.ArtifactStore{}, r.Queue.Handler()).
		Watches(&v1alpha1.ArtifactManifest{}, r.Queue.Handler()).
		Watches(&v1alpha1.NetworkFunctionDefinitionVersion{}, r.Queue.Handler()).
		Watches(&v1alpha1.NetworkServiceDesignVersion{}, r.Queue.Handler()).
		Watches(&v1alpha1.SiteNetworkService{}, r.Queue.Handler())
	return complete(b, in, r, 1)
}

// entry decides which passes are admitted, and when, and has the memory of their reconcilers.
type entry struct {
	watched reference.Watched
	written *written
	memory  *pass.Memory
}

// complete makes a controller that runs passes over at most n objects of one namespace
// at once (see turns), and half as many more for other namespaces. A failed pass is
// repeated after at most a minute, so that a registry that answers again is soon used.
func complete(b *builder.Builder, in entry, r reconcile.Reconciler, n int) error {
	return b.WithOptions(controller.Options{
		MaxConcurrentReconciles: n + (n+1)/2,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, time.Minute),
	}).Complete(newTurns(within(in.watched, r), n, in.written.large))
}
