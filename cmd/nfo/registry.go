package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/served"
	"github.com/nfo-operator/nfo/internal/terminal"
)

// registryConfig holds the flags of `nfo registry`.
type registryConfig struct {
	root, address, probes, metrics string
	storage                        string
	certificates                   string
	secretFile                     string
	namespace                      string
	names                          []string
	open, allowSMB, agents         bool
	stale                          time.Duration
	operators                      []string
	anonymousPull                  bool
	serve.Options
}

func newRegistryCommand() *cobra.Command {
	cfg := &registryConfig{}
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Serve an OCI registry from a folder, and clean it up meanwhile",
		Long: `Serve an OCI registry from a folder. Any number of processes may serve the same folder. A collection removes what
no tag and no manifest needs, while clients push and pull; ask for one with POST /nfo/v1/collection.

Exit codes:
  0  it was asked to end
  1  it cannot continue, such as when the folder cannot be written
  2  wrong usage`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.validate(); err != nil {
				return err
			}
			if err := runRegistry(cmd.Context(), *cfg); err != nil {
				return &exitError{code: 1, err: err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.root, "root", "/var/lib/registry", "folder of the registry: empty, or written by nfo or distribution before")
	f.StringVar(&cfg.storage, "storage-config", "", "file with the section storage of distribution's configuration, in place of --root: the content is stored by that driver, without collection, scrub, usage and checks of what manifests need. This program has the drivers filesystem and inmemory, and s3 if it was built with the tag s3")
	f.StringVar(&cfg.address, "bind-address", "127.0.0.1:5000", "host:port of the registry; anything but loopback needs --namespace or --cert-dir")
	f.StringVar(&cfg.namespace, "namespace", "", "namespace of the registry's Service in a cluster: the registry makes and renews its certificate itself, and shares it and the secret of uploads with other replicas in Secrets of this namespace")
	f.StringSliceVar(&cfg.names, "certificate-names", nil, "with --namespace: DNS names and IP addresses that the certificate is for beside the Service's names and localhost, as a list with commas")
	f.BoolVar(&cfg.agents, "agents", false, "with --namespace: issue a client certificate for the agents of nodes into the Secret nfo-agent-certificate, and let who presents it pull everything")
	f.StringVar(&cfg.certificates, "cert-dir", "", "folder with tls.crt and tls.key, read again when they change; default: with --namespace the registry's own certificate, otherwise plain HTTP")
	f.StringVar(&cfg.metrics, "metrics-bind-address", "0", "host:port of the metrics over plain HTTP; 0 for none")
	f.StringVar(&cfg.probes, "health-probe-bind-address", "0", "host:port of /healthz and /readyz; 0 for none")
	f.StringVar(&cfg.secretFile, "secret-file", "", "file with the secret that signs the state of uploads, at least 16 bytes, the same for all processes on the folder; default: with --namespace a Secret, otherwise random")
	f.StringSliceVar(&cfg.operators, "operators", nil, "user names that may do everything, as a list with commas: those of the manager, as system:serviceaccount:<namespace>:<name>")
	f.BoolVar(&cfg.anonymousPull, "anonymous-pull", false, "let everybody pull, who can reach the registry, without a login")
	f.BoolVar(&cfg.open, "open", false, "let everybody push, pull and delete everything, without a cluster that says who may; only on a loopback address")
	f.Float64Var(&cfg.Guard.HighWater, "high-water", 95, "percent of the volume above which uploads are refused; above 0, at most 100")
	f.Var(byteCount{&cfg.Guard.MinFree}, "min-free", "what must stay free of the volume, a twentieth of it at most")
	cfg.Guard.MinFree = 1 << 30
	f.DurationVar(&cfg.Collection.Grace, "grace", storage.DefaultGrace, "how long what was pushed is kept with nothing that names it; at least 1m, and longer than any push takes after its first blob")
	f.BoolVar(&cfg.Collection.Untagged, "collect-untagged", false, "collect manifests that no tag and no index names; default: they stay until a purge deletes them, or somebody by digest")
	f.DurationVar(&cfg.Scrub.Period, "scrub-period", 30*24*time.Hour, "how long reading all content again takes, to find what has become corrupt; below 0: never")
	f.Int64Var(&cfg.Scrub.BytesPerSecond, "scrub-bytes-per-second", 20<<20, "bytes that this reads a second at most; 0 for no bound but the period")
	f.DurationVar(&cfg.stale, "stale", -1, "how old what one host sees of the folder can be; default: by its file system and mount options")
	f.BoolVar(&cfg.allowSMB, "allow-smb", false, "serve a folder on SMB, which has corrupted registries under load")
	f.Var(&cfg.MirrorPlatforms, "mirror-platforms", "platforms that images in the mirror must have, as a list with commas such as linux/amd64,linux/arm64/v8: an index there is answered for without its other children. As that of the manager; default: all")
	f.IntVar(&cfg.Requests, "requests", 256, "requests that are answered at a time, a quarter of them for one client; at least 4")
	return cmd
}

// validate refuses values that the types of the flags accept.
func (cfg registryConfig) validate() error {
	host, _, err := net.SplitHostPort(cfg.address)
	ip := net.ParseIP(host)
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case err != nil:
		return fmt.Errorf("--bind-address is %.100q and must be host:port", cfg.address)
	case !loopback && cfg.certificates == "" && cfg.namespace == "":
		return fmt.Errorf("--bind-address is %s: a registry that others reach needs a certificate: set --namespace in a cluster, or --cert-dir", cfg.address)
	case len(cfg.names) > 0 && (cfg.certificates != "" || cfg.namespace == ""):
		return errors.New("--certificate-names needs --namespace, and no --cert-dir: without these the registry makes no certificate")
	case cfg.agents && cfg.namespace == "":
		return errors.New("--agents needs --namespace: the certificate of the agents is kept in a Secret there")
	case !loopback && cfg.open:
		return fmt.Errorf("--bind-address is %s: --open is for a loopback address", cfg.address)
	case cfg.Guard.HighWater <= 0 || cfg.Guard.HighWater > 100:
		return fmt.Errorf("--high-water is %g and must be above 0 and at most 100", cfg.Guard.HighWater)
	case cfg.Collection.Grace < time.Minute:
		return fmt.Errorf("--grace is %s and must be at least 1m", cfg.Collection.Grace)
	case cfg.Scrub.BytesPerSecond < 0:
		return fmt.Errorf("--scrub-bytes-per-second is %d and must be at least 0", cfg.Scrub.BytesPerSecond)
	case cfg.storage != "" && len(cfg.MirrorPlatforms) > 0:
		return errors.New("--mirror-platforms needs --root: with --storage-config nothing checks what an index needs, so that an image which lacks a platform would never be completed")
	case cfg.Requests < 4:
		return fmt.Errorf("--requests is %d and must be at least 4", cfg.Requests)
	}
	return nil
}

// runRegistry runs until ctx ends, and until the requests in progress are complete.
func runRegistry(ctx context.Context, cfg registryConfig) error {
	collectEarly()
	if err := limitMemory(0); err != nil {
		return err
	}
	cfg.Log = slog.New(slog.NewJSONHandler(terminal.JSON(os.Stderr), nil))
	ctrl.SetLogger(logr.FromSlogHandler(cfg.Log.Handler()))
	var err error
	if err = cfg.openContent(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	shared, err := shareWithReplicas(ctx, g, cfg)
	if err != nil {
		return err
	}
	cfg.Secret = shared.secret
	if !cfg.open {
		if cfg.Access, err = newAccess(ctx, g, cfg); err != nil {
			return err
		}
	}
	registry, err := serve.New(ctx, cfg.Options)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	cfg.Log.Info("serving", append([]any{"address", listener.Addr().String()}, cfg.content()...)...)
	g.Go(func() error { return serve.Listen(ctx, listener, registry.Handler(), shared.tls) })
	g.Go(func() error { return registry.Run(ctx) })
	g.Go(func() error { return serveBeside(ctx, cfg.probes, healthOf(registry.Ready, shared.ready)) })
	g.Go(func() error { return serveBeside(ctx, cfg.metrics, metricsOf(registry)) })
	return errors.Join(g.Wait(), registry.Close())
}

// newAccess returns the access control that asks the cluster for permissions. It caches stores and manifests until ctx ends.
func newAccess(ctx context.Context, g *errgroup.Group, cfg registryConfig) (*access.Controller, error) {
	kube, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	kube.QPS, kube.Burst = 200, 400
	kube.Wrap(served.Wrap)
	live, err := liveClient(kube)
	if err != nil {
		return nil, err
	}
	objects, err := cache.New(kube, cache.Options{Scheme: live.Scheme(), DefaultTransform: cache.TransformStripManagedFields()})
	if err != nil {
		return nil, fmt.Errorf("keeping stores and manifests: %w", err)
	}
	if err := access.Index(ctx, objects); err != nil {
		return nil, fmt.Errorf("keeping stores and manifests: %w", err)
	}
	g.Go(func() error { return objects.Start(ctx) })
	return access.New(access.Options{Reviews: live, Objects: objects, Operators: cfg.operators, AnonymousPull: cfg.anonymousPull}), nil
}

// openContent opens the volume, or reads the configuration of other storage.
func (cfg *registryConfig) openContent() (err error) {
	if cfg.storage == "" {
		cfg.Volume, err = openVolume(*cfg)
		return err
	}
	cfg.Storage, err = readStorage(cfg.storage)
	return err
}

// content returns what is served, for the log. For other storage it
// returns only the driver, because the driver's options contain secrets.
func (cfg registryConfig) content() []any {
	if cfg.Volume == nil {
		return []any{"storage", cfg.Storage.Type()}
	}
	return []any{"root", cfg.root, "fileSystem", cfg.Volume.Kind(), "stale", cfg.Volume.Stale().String()}
}

func openVolume(cfg registryConfig) (*volume.Volume, error) {
	var o volume.Options
	if cfg.stale >= 0 {
		o.Stale = &cfg.stale
	}
	v, err := volume.Open(cfg.root, o)
	if err != nil {
		return nil, err
	}
	if v.Kind() == volume.SMB && !cfg.allowSMB {
		return nil, fmt.Errorf("the folder %s is on SMB, which has corrupted registries under load: use another file system, or insist with --allow-smb", cfg.root)
	}
	return v, nil
}

// metricsOf serves the metrics of the registry and of the process.
func metricsOf(registry *serve.Registry) http.Handler {
	all := prometheus.NewRegistry()
	all.MustRegister(registry, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

// healthOf serves the probes of Kubernetes: /healthz always succeeds, and /readyz while all checks pass.
func healthOf(checks ...func(*http.Request) error) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	routes.HandleFunc("/readyz", func(w http.ResponseWriter, req *http.Request) {
		for _, check := range checks {
			if err := check(req); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	return routes
}

// serveBeside serves plain HTTP on a separate address, unless the address is "0".
func serveBeside(ctx context.Context, address string, h http.Handler) error {
	if address == "0" {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	return serve.Listen(ctx, listener, h, nil)
}
