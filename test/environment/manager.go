package environment

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/admission"
	"github.com/nfo-operator/nfo/internal/admission/pods"
	"github.com/nfo-operator/nfo/internal/controller"
	"github.com/nfo-operator/nfo/internal/controller/pod"
	"github.com/nfo-operator/nfo/internal/mirror/settings"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Transport wraps the transport of a manager. It sees every request and may refuse it.
type Transport func(http.RoundTripper) http.RoundTripper

// ManagerOptions changes a manager from the defaults of the command line.
type ManagerOptions struct {
	// Namespaces are the namespaces in the manager's cache.
	Namespaces []string
	// API and Registry wrap the transports to the API server and to registries.
	API, Registry Transport
	// QPS limits the manager's requests to the API server for each second. 0: 200, as on the command line.
	QPS float32
	// PollsPerSecond limits the manager's requests to registries. 0: 100, so that tests do not wait.
	PollsPerSecond float64
	// PurgerImage is the purge's image, as on the command line.
	PurgerImage string
	// RefuseLoopback makes the manager refuse registries at loopback addresses,
	// as on the command line. All registries of tests are at loopback addresses.
	RefuseLoopback bool
	// PurgerResources are the resources of a purge's pod. nil: the defaults of the command line.
	PurgerResources *corev1.ResourceRequirements
	// Places is the parsed list of places of the command line.
	Places place.Rules
	// Cluster says how the manager reaches the cluster's own registry, as on the command line. Default: no such registry.
	Cluster registry.ClusterRegistry
	// Settings configure the mirror, whose store is in Namespace. Default:
	// no mirror, and the manager deletes the store of an earlier one.
	Settings settings.Settings
	// Lookup resolves the hosts of registries. nil: only IP addresses resolve, so that tests send no DNS requests.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Clock is the manager's clock. nil: the real clock.
	Clock clock.PassiveClock
	// SecondLook is the manager's option of this name. 0: one second.
	SecondLook time.Duration
	// Webhooks makes the manager serve the webhooks for Namespaces.
	Webhooks bool
	// Namespace is the manager's own namespace, which contains the
	// mirror's store. "": nfo-system, without the webhook for pods.
	Namespace string
	// RepairInterval is the time between two searches for pods that cannot pull their
	// images. 0: 100 ms. Without Namespace the manager does not search during a test.
	RepairInterval time.Duration
	// Elect makes the manager work only while it holds the lease, which all managers of the API server share.
	Elect bool
}

// logger is silent unless NFO_TEST_LOG is set, because managers that tests starve and stop log many errors.
var logger = func() logr.Logger {
	l := logr.Discard()
	if os.Getenv("NFO_TEST_LOG") != "" {
		l = zap.New(zap.UseDevMode(true))
	}
	ctrl.SetLogger(l)
	klog.SetLogger(l)
	return l
}()

// Manager is a manager that runs in this process under its own ServiceAccount.
type Manager struct {
	// Webhooks is the name of the ValidatingWebhookConfiguration for this manager, or "" if it has none.
	Webhooks string
	// Pods is the name of the MutatingWebhookConfiguration for this manager, or "" if it has none.
	Pods string

	cancel context.CancelFunc
	done   chan struct{}
}

// StartManager starts a manager and returns when its caches are filled and the API server calls
// its webhooks. With Elect it does not wait for the caches. The manager ends with the test.
func (e *Environment) StartManager(t testing.TB, o ManagerOptions) *Manager {
	t.Helper()
	kube := e.Judged(ManagerUser)
	kube.QPS = cmp.Or(o.QPS, 200)
	kube.Burst = 2 * int(kube.QPS)
	if o.API != nil {
		kube.Wrap(func(rt http.RoundTripper) http.RoundTripper { return o.API(rt) })
	}
	base := o.base()
	o.PollsPerSecond = cmp.Or(o.PollsPerSecond, 100)
	if o.PurgerResources == nil {
		o.PurgerResources = new(cronjob.DefaultResources())
	}
	var hooks webhooks
	if o.Webhooks {
		hooks = e.newWebhooks(t, o.Namespaces)
		base.WebhookServer = hooks.server()
	}
	charts := e.charts(t)
	facts := &mirrored.Facts{Namespace: cmp.Or(o.Namespace, v1alpha1.ManagerNamespace), Image: o.PurgerImage, Watched: o.Namespaces}
	if o.Namespace == "" {
		o.RepairInterval = 24 * time.Hour // the pods belong to other tests
	}
	used := pod.NewQueue()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // Stop cancels it when the test is cleaned up
	mgr, err := controller.NewManager(ctx, kube, base, controller.Options{
		PollsPerSecond: o.PollsPerSecond, Purger: cronjob.Settings{Image: o.PurgerImage, Resources: *o.PurgerResources, AllowLoopback: !o.RefuseLoopback}, Clock: o.Clock, Transport: o.Registry,
		Places: o.Places, Cluster: o.Cluster, Namespace: o.Namespace, Settings: o.Settings, Lookup: o.resolver(),
		SecondLook: cmp.Or(o.SecondLook, time.Second), Charts: charts,
		MirrorFacts: facts, Used: used, RepairInterval: cmp.Or(o.RepairInterval, 100*time.Millisecond),
	})
	if err == nil && o.Webhooks {
		err = admission.Setup(ctx, mgr, admission.Options{Namespace: o.Namespace, Places: o.Places, Charts: charts})
		if o.Namespace != "" {
			pods.Setup(hooks.counted(mgr.GetWebhookServer()), facts, used)
		}
	}
	if err != nil {
		cancel()
		t.Fatalf("making the manager: %v", err)
	}
	m := &Manager{cancel: cancel, done: make(chan struct{})}
	go m.run(ctx, mgr)
	t.Cleanup(m.Stop)
	if !o.Elect && !mgr.GetCache().WaitForCacheSync(t.Context()) {
		t.Fatal("the manager's caches are not filled")
	}
	if o.Webhooks {
		m.Webhooks = hooks.install(t)
		if o.Namespace != "" {
			m.Pods = hooks.installPods(t)
		}
	}
	return m
}

// run runs the manager until ctx ends.
func (m *Manager) run(ctx context.Context, mgr manager.Manager) {
	defer close(m.done)
	if err := mgr.Start(ctx); err != nil { // for example because a test has cut the manager off
		logger.Error(err, "The manager has ended")
	}
}

// base returns the options of controller-runtime.
func (o ManagerOptions) base() ctrl.Options {
	base := ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Logger: logger, Controller: config.Controller{SkipNameValidation: new(true)}}
	base.Cache.DefaultNamespaces = map[string]cache.Config{}
	for _, ns := range o.Namespaces {
		base.Cache.DefaultNamespaces[ns] = cache.Config{}
	}
	if o.Elect {
		base.LeaderElection, base.LeaderElectionID, base.LeaderElectionNamespace = true, v1alpha1.ManagerName, v1alpha1.ManagerNamespace
		base.LeaderElectionReleaseOnCancel = true
	}
	return base
}

func (o ManagerOptions) resolver() func(context.Context, string) ([]netip.Addr, error) {
	if o.Lookup != nil {
		return o.Lookup
	}
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		addr, err := netip.ParseAddr(host)
		return []netip.Addr{addr}, err
	}
}

// Stop ends the manager and waits until it has ended. It may be called more than once.
func (m *Manager) Stop() {
	m.cancel()
	<-m.done
}

// Passes returns how often all managers of this process have reconciled
// an ArtifactManifest, from the metrics of controller-runtime.
func Passes(t testing.TB) (n float64) {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "controller" && l.GetValue() == "artifactmanifest" {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}
