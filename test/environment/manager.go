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

// Transport sees and may refuse the requests of a manager.
type Transport func(http.RoundTripper) http.RoundTripper

// ManagerOptions changes a manager from what its command line's defaults make it.
type ManagerOptions struct {
	// Namespaces that its cache sees.
	Namespaces []string
	// API and Registry see the requests to each side.
	API, Registry Transport
	// QPS bounds its requests to the API server; 200, as on the command line, when 0.
	QPS float32
	// PollsPerSecond is 100 when 0: tests do not wait.
	PollsPerSecond float64
	// PurgerImage as on the command line.
	PurgerImage string
	// RefuseLoopback makes it refuse registries at loopback addresses, as on the command line. All registries of
	// tests are at one.
	RefuseLoopback bool
	// PurgerResources are the defaults of the command line when nil.
	PurgerResources *corev1.ResourceRequirements
	// Places is a list of places as on the command line, read.
	Places place.Rules
	// Cluster is how it reaches the cluster's own registry, as on the command line. Default: none.
	Cluster registry.ClusterRegistry
	// Settings are those of the mirror, whose store is in the namespace nfo-system. Default: none, and a manager
	// removes that of another one.
	Settings settings.Settings
	// Lookup resolves hosts of registries. When nil only those that are addresses resolve: tests ask no name server.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Clock is the real one when nil.
	Clock clock.PassiveClock
	// SecondLook is a second when 0.
	SecondLook time.Duration
	// Webhooks makes it serve the webhooks for its namespaces.
	Webhooks bool
	// Namespace is the manager's, in which the mirror's store is; nfo-system when "". With it the pods' webhook is
	// served, too.
	Namespace string
	// RepairInterval is how often it looks for pods that cannot pull their images; 100 ms when 0. Without Namespace it
	// never does.
	RepairInterval time.Duration
	// Elect makes it work only while it holds the lease, of which there is one.
	Elect bool
}

// logger is silent unless NFO_TEST_LOG is set: managers that tests starve and stop have much to say.
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
	// Webhooks is the name of the ValidatingWebhookConfiguration that leads to it, "" for none.
	Webhooks string
	// Pods is the name of the MutatingWebhookConfiguration that leads to it, "" for none.
	Pods string

	cancel context.CancelFunc
	done   chan struct{}
}

// StartManager starts a manager and returns when it works. It ends with the test.
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
		o.RepairInterval = 24 * time.Hour // pods are other tests'
	}
	used := pod.NewQueue()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // Stop ends it, in the test's clean-up
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
	if err := mgr.Start(ctx); err != nil { // as when a test has cut it off
		logger.Error(err, "The manager has ended")
	}
}

// base are the options of controller-runtime.
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

// Stop ends the manager and waits until it has. It may be called more than once.
func (m *Manager) Stop() {
	m.cancel()
	<-m.done
}

// Passes is how often the managers of this process have reconciled a manifest, as their own
// metrics count.
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
