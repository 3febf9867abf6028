package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/admission"
	"github.com/nfo-operator/nfo/internal/admission/pods"
	"github.com/nfo-operator/nfo/internal/caller"
	"github.com/nfo-operator/nfo/internal/certificate"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/controller"
	"github.com/nfo-operator/nfo/internal/controller/pod"
	"github.com/nfo-operator/nfo/internal/mirror/settings"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/terminal"
)

// managerConfig holds the flags of `nfo manager`.
type managerConfig struct {
	metrics, probes string
	leaderElect     bool
	leaseNamespace  string
	webhookHost     string
	webhookPort     int
	webhookCerts    string
	secretPaths     bool
	places          string
	mirror          string
	charts          chart.Limits // for reading one chart
	controller.Options
}

func newManagerCommand() *cobra.Command { return managerCommand(&managerConfig{}) }

// managerCommand returns `nfo manager`, with its flags in cfg.
func managerCommand(cfg *managerConfig) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the controllers and the webhooks",
		Long: `Run the controllers and the webhooks: in the cluster, or from outside with what KUBECONFIG or ~/.kube/config says.

Exit codes:
  0  it was asked to end
  1  it cannot continue, such as when another replica has taken the lease
  2  wrong usage`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kube, err := ctrl.GetConfig()
			if err != nil {
				return &exitError{code: 1, err: fmt.Errorf("finding the cluster: %w", err)}
			}
			if err := runManager(cmd.Context(), kube, *cfg); err != nil {
				return &exitError{code: 1, err: err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.metrics, "metrics-bind-address", ":8080", "host:port of the metrics over plain HTTP; 0 for none")
	f.StringVar(&cfg.probes, "health-probe-bind-address", ":8081", "host:port of /healthz and /readyz; 0 for none")
	f.BoolVar(&cfg.leaderElect, "leader-elect", true, "work only while holding the lease "+v1alpha1.ManagerName+", so that one of several replicas works")
	f.StringVar(&cfg.leaseNamespace, "leader-election-namespace", "", "namespace of the lease (default: the pod's own; outside a cluster it must be given)")
	f.StringVar(&cfg.webhookHost, "webhook-host", "", "address that the webhooks are served on (default: all of this host's)")
	f.IntVar(&cfg.webhookPort, "webhook-port", 9443, "port of the webhooks over TLS, which every replica serves; 0 for none")
	f.StringVar(&cfg.webhookCerts, "webhook-cert-dir", "", "folder with tls.crt and tls.key of the webhooks, read again when they change; default: the manager makes and renews its certificate itself")
	f.BoolVar(&cfg.secretPaths, "webhook-secret-paths", true, "put a secret into the webhooks' paths, in the ValidatingWebhookConfiguration and the MutatingWebhookConfiguration, so that the API server alone can ask them")
	f.StringVar(&cfg.Namespace, "namespace", v1alpha1.ManagerNamespace, "namespace of the manager: of the Secret and the Service that its webhooks' certificate is for, and of the ArtifactStore "+v1alpha1.MirrorName+" of the mirror")
	f.StringSliceVar((*[]string)(&cfg.Watched), "watch-namespaces", nil, "namespaces to act in, as a list with commas; default: all. Elsewhere nothing can be created, and what is there keeps its artifacts")
	f.StringVar(&cfg.Purger.Image, "purger-image", "", "image of the purge CronJobs, usually this program's own; empty: no CronJobs are made")
	cfg.Purger.Resources, cfg.Purger.Proxy = cronjob.DefaultResources(), cronjob.ProxyVariables(os.LookupEnv)
	f.Var(resourceList{&cfg.Purger.Resources.Requests}, "purger-requests", "what a purge pod requests: a list of cpu, memory and ephemeral-storage; empty for nothing")
	f.Var(resourceList{&cfg.Purger.Resources.Limits}, "purger-limits", "what a purge pod is limited to: as --purger-requests, memory at least 32Mi; empty for no limits")
	f.BoolVar(&cfg.Purger.AllowLoopback, cronjob.AllowLoopbackFlag, false, "connect to registries at loopback addresses too, such as a registry in the same pod; purge pods do the same")
	f.StringVar(&cfg.places, "places", "", "YAML file that says which namespaces may use which registries or prefixes, read at start: {default: Allow or Deny, places: [{registry: host[:port][/prefix], namespaces: [...]}]}; default: every namespace may use every place")
	f.StringVar(&cfg.Cluster.Address, "cluster-registry", "", "host:port, or scheme://host:port, at which the cluster's own registry is reached, for stores with spec.registry.clusterRegistry; default: none")
	f.StringVar(&cfg.Cluster.CAFile, "cluster-registry-ca", "", "PEM file of the certificates that the certificate of the cluster's own registry chains to, read again when it changes; default: the system's")
	f.StringVar(&cfg.Cluster.TokenFile, "cluster-registry-token", "", "file with a token of the manager's ServiceAccount for the audience "+v1alpha1.ClusterRegistryAudience+", read again when it changes, to log in to the cluster's own registry; default: no login")
	f.StringVar(&cfg.mirror, "mirror", "", "YAML file with the settings of the mirror, read at start: the spec of an ArtifactStore without its registry, {mirror: {...}, purge: {...}}; default: no mirror")
	f.IntVar(&cfg.Mirror.Copies, "mirror-copies", controller.DefaultCopies, "images that are copied into the mirror at once; 1 to 32")
	f.IntVar(&cfg.Mirror.Blobs, "mirror-blobs", 2, "blobs of each image that are copied at a time; 1 to 32")
	f.Var(&cfg.Mirror.Platforms, "mirror-platforms", "platforms that are copied into the mirror, as a list with commas such as linux/amd64,linux/arm64/v8; the registry must have the same. Default: all")
	f.Float64Var(&cfg.Mirror.RequestsPerSecond, "mirror-requests-per-second", 20, "requests a second to each registry that images are copied from, on average; at least 1")
	f.Float64Var(&cfg.PollsPerSecond, "registry-polls-per-second", 5, "requests a second to each store's registry for polling upload states, on average; at least 0.1")
	f.DurationVar(&cfg.charts.CPU, "chart-cpu", chart.DefaultCPU, "processor time that reading one chart may take, in whole seconds; at least 1s")
	cfg.charts.Memory = chart.DefaultMemory
	f.Var(byteCount{&cfg.charts.Memory}, "chart-memory", "memory that the process which reads a chart may have, within the container's limit; at least 96Mi")
	return cmd
}

// validate refuses values that the types of the flags accept.
func (cfg managerConfig) validate() error {
	switch {
	case cfg.PollsPerSecond < 0.1:
		return fmt.Errorf("--registry-polls-per-second is %g and must be at least 0.1", cfg.PollsPerSecond)
	case cfg.charts.CPU < time.Second:
		return fmt.Errorf("--chart-cpu is %s and must be at least 1s", cfg.charts.CPU)
	case cfg.charts.Memory < chart.LeastMemory:
		return fmt.Errorf("--chart-memory is %d bytes and must be at least 96Mi", cfg.charts.Memory)
	case cfg.mirror != "" && (cfg.Mirror.Copies < 1 || cfg.Mirror.Copies > 32):
		return fmt.Errorf("--mirror-copies is %d and must be from 1 to 32", cfg.Mirror.Copies)
	case cfg.mirror != "" && (cfg.Mirror.Blobs < 1 || cfg.Mirror.Blobs > 32):
		return fmt.Errorf("--mirror-blobs is %d and must be from 1 to 32", cfg.Mirror.Blobs)
	case cfg.mirror != "" && cfg.Mirror.RequestsPerSecond < 1:
		return fmt.Errorf("--mirror-requests-per-second is %g and must be at least 1", cfg.Mirror.RequestsPerSecond)
	case cfg.webhookPort < 0 || cfg.webhookPort > 65535:
		return fmt.Errorf("--webhook-port is %d and must be a port, or 0", cfg.webhookPort)
	}
	if cfg.Cluster.Address != "" {
		if _, err := (v1alpha1.RegistryLocation{}).At(cfg.Cluster.Address); err != nil {
			return fmt.Errorf("--cluster-registry is %q and must be host:port or scheme://host:port: %w", cfg.Cluster.Address, err)
		}
	}
	for _, namespace := range cfg.Watched {
		if wrong := validation.IsDNS1123Label(namespace); len(wrong) > 0 {
			return fmt.Errorf("--watch-namespaces has %q: %s", namespace, strings.Join(wrong, "; "))
		}
	}
	return checkResources(cfg.Purger.Resources)
}

// runManager runs until ctx ends.
func runManager(ctx context.Context, kube *rest.Config, cfg managerConfig) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	var err error
	if cfg.Places, err = place.Read(cfg.places); err != nil {
		return err
	}
	if cfg.Settings, err = settings.Read(cfg.mirror); err != nil {
		return err
	}
	if cfg.Charts, err = chart.NewReader(cfg.charts, 1); err != nil {
		return err
	}
	cfg.MirrorFacts = &mirrored.Facts{Namespace: cfg.Namespace, Image: cfg.Purger.Image, Watched: cfg.Watched}
	cfg.Used = pod.NewQueue()
	collectEarly()
	if err := limitMemory(cfg.charts.Memory); err != nil {
		return err
	}
	log := zap.New(zap.WriteTo(terminal.JSON(os.Stderr)))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	// A release makes about ten requests; API Priority and Fairness protects the API server.
	kube.QPS, kube.Burst = 200, 400
	base := ctrl.Options{
		Metrics:                       metricsserver.Options{BindAddress: cfg.metrics},
		HealthProbeBindAddress:        cfg.probes,
		LeaderElection:                cfg.leaderElect,
		LeaderElectionID:              v1alpha1.ManagerName,
		LeaderElectionNamespace:       cfg.leaseNamespace,
		LeaderElectionReleaseOnCancel: true,
	}
	if cfg.webhookPort == 0 {
		mgr, err := controller.NewManager(ctx, kube, base, cfg.Options)
		if err != nil {
			return err
		}
		return mgr.Start(ctx)
	}
	return runWithWebhooks(ctx, kube, base, cfg)
}

// runWithWebhooks runs the controllers and the webhooks, and keeps the webhooks'
// certificate, and the secret in their paths that only the API server knows.
func runWithWebhooks(ctx context.Context, kube *rest.Config, base ctrl.Options, cfg managerConfig) error {
	live, err := liveClient(kube)
	if err != nil {
		return err
	}
	var keeper *certificate.Keeper
	if cfg.webhookCerts == "" {
		keeper = newKeeper(live, cfg.Namespace)
	}
	gate := caller.New(caller.Options{
		Client: live, Configuration: v1alpha1.WebhookConfigurationName, Mutating: v1alpha1.MutatingWebhookName,
		Deployment: client.ObjectKey{Namespace: cfg.Namespace, Name: v1alpha1.ManagerName},
	})
	base.WebhookServer = gate.Server(webhook.NewServer(webhookOptions(cfg, keeper)))
	mgr, err := controller.NewManager(ctx, kube, base, cfg.Options)
	if err != nil {
		return err
	}
	if err := admission.Setup(ctx, mgr, admission.Options{Watched: cfg.Watched, Namespace: cfg.Namespace, Places: cfg.Places, Charts: cfg.Charts}); err != nil {
		return err
	}
	pods.Setup(mgr.GetWebhookServer(), cfg.MirrorFacts, cfg.Used)
	if cfg.secretPaths {
		if err := mgr.Add(gate); err != nil {
			return fmt.Errorf("adding the paths of the webhooks: %w", err)
		}
	}
	if keeper != nil {
		if err := errors.Join(mgr.Add(keeper), mgr.AddReadyzCheck("certificate", keeper.Ready)); err != nil {
			return fmt.Errorf("adding the certificate: %w", err)
		}
	}
	return mgr.Start(ctx)
}

// collectEarly sets GOGC to 33 instead of 100, so that garbage is collected after the heap has grown by
// a third. Most of the heap is long-lived: the manager's cache, or what a purge has read of its store.
// Little is allocated besides, so the collections stay rare. The environment variable GOGC overrides it.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(33)
	}
}

// containerMemory is the environment variable with the memory limit of the
// manager's container, in bytes. The Deployment sets it from the limit.
const containerMemory = "NFO_CONTAINER_MEMORY"

// limitMemory sets the Go runtime's memory limit to 90 % of what the process that reads a chart leaves of the
// container's memory limit, or of half of that limit if this is more. It does nothing if the container's limit is
// unknown or GOMEMLIMIT is set.
func limitMemory(charts int64) error {
	text := os.Getenv(containerMemory)
	if text == "" || os.Getenv(cronjob.MemoryVariable) != "" {
		return nil
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit <= 0 {
		return fmt.Errorf("the environment variable %s is %.40q and must be a number of bytes above 0", containerMemory, text)
	}
	debug.SetMemoryLimit(cronjob.RuntimeMemory(max(limit-charts, limit/2)))
	return nil
}

// liveClient returns a client that reads from the API server, without a cache.
func liveClient(kube *rest.Config) (client.Client, error) {
	scheme, err := reference.NewScheme()
	if err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	live, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return live, nil
}

// newKeeper returns the keeper of the webhooks' certificate.
func newKeeper(live client.Client, namespace string) *certificate.Keeper {
	return certificate.New(certificate.Options{
		Client: live, Namespace: namespace, Secret: v1alpha1.WebhookSecretName, Service: v1alpha1.WebhookServiceName,
		Webhooks: []string{v1alpha1.WebhookConfigurationName}, Mutating: []string{v1alpha1.MutatingWebhookName}, Log: ctrl.Log.WithName("certificate"),
	})
}

// webhookOptions returns the address and the certificate of the webhooks:
// the keeper's certificate, or without a keeper the one in the folder.
func webhookOptions(cfg managerConfig, keeper *certificate.Keeper) webhook.Options {
	return webhook.Options{Host: cfg.webhookHost, Port: cfg.webhookPort, CertDir: cfg.webhookCerts, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS12
		if keeper != nil {
			c.GetCertificate = keeper.GetCertificate
		}
	}}}
}
