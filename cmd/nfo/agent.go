package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/agent"
	"github.com/nfo-operator/nfo/internal/agent/nodefiles"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/terminal"
)

// The values of --node-access: how a node's container runtime reaches the mirror.
const (
	accessAgent         = "Agent"
	accessClusterIP     = "ClusterIP"
	accessRuntimeMirror = "RuntimeMirror"
)

// agentConfig holds the flags of `nfo agent`.
type agentConfig struct {
	agent.Options
	certificates           string
	probes, metrics        string
	allowLoopback          bool
	access                 string
	hosts                  []string
	service                string
	containerd, containers string
	cleanUp, remove        bool
}

func newAgentCommand() *cobra.Command {
	cfg := &agentConfig{}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Serve mirrored images to the container runtime of this node",
		Long: `Serve mirrored images to the container runtime of this node, over plain HTTP and over TLS, on one port of 127.0.0.1
and ::1. What the cluster's registry does not have is read from the registry that the image is from.

Exit codes:
  0  it was asked to end, or with --remove, the node's files are removed
  1  it cannot continue, such as when another process has its port
  2  wrong usage`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.validate(); err != nil {
				return err
			}
			if err := runAgent(cmd.Context(), *cfg); err != nil {
				return &exitError{code: 1, err: err}
			}
			return nil
		},
	}
	cfg.flags(cmd)
	return cmd
}

func (cfg *agentConfig) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&cfg.Port, "port", 7439, "port of 127.0.0.1 and ::1 that it answers on")
	f.StringSliceVar(&cfg.Registry, "registry", nil, "host:port of the cluster's registry, or several as a list with commas; all addresses of the hosts are replicas. Required")
	f.StringVar(&cfg.ServerName, "registry-name", "", "name in the registry's certificate; default: the first host of --registry")
	f.StringVar(&cfg.Files.Authorities, "registry-ca", "/registry/ca.crt", "file with the certificate authorities of the registry, read again when it changes")
	f.StringVar(&cfg.certificates, "client-cert-dir", "/client", "folder with tls.crt and tls.key, by which the registry knows the agent, read again when they change")
	f.StringSliceVar(&cfg.PlainHTTP, "plain-http", nil, "registries, as host or host:port, that are reached over plain HTTP, as a list with commas")
	f.StringVar(&cfg.Authorities, "origin-ca-dir", "", "folder with a file <host>_<port>.crt for each registry whose certificate is not of an authority of the system")
	f.BoolVar(&cfg.allowLoopback, "allow-loopback-registries", false, "read images from registries at loopback addresses, too")
	f.DurationVar(&cfg.FirstByte, "first-byte", 10*time.Second, "how long until an answer begins, at most; from 1s to 25s")
	f.Int64Var(&cfg.Requests, "requests", 128, "requests that are answered at a time; at least 4")
	f.StringVar(&cfg.probes, "health-probe-bind-address", "0", "host:port of /healthz and /readyz; 0 for none")
	f.StringVar(&cfg.metrics, "metrics-bind-address", "0", "host:port of the metrics over plain HTTP; 0 for none")
	f.StringVar(&cfg.access, "node-access", accessAgent, "Agent: write no file of the node. RuntimeMirror: tell the runtime to ask the agent for images of --mirror-hosts. ClusterIP: let the runtime trust, and log in at, the registry at --service-address")
	f.StringSliceVar(&cfg.hosts, "mirror-hosts", nil, "with RuntimeMirror: registries, as host or host:port, as a list with commas")
	f.StringVar(&cfg.service, "service-address", "", "with ClusterIP: host or host:port of the registry, as images name it")
	f.StringVar(&cfg.containerd, "containerd-dir", "/etc/containerd", "containerd's folder, with the same name as on the node")
	f.StringVar(&cfg.containers, "containers-dir", "/etc/containers", "CRI-O's folder")
	f.BoolVar(&cfg.cleanUp, "clean-up", false, "remove the node's files when it ends")
	f.BoolVar(&cfg.remove, "remove", false, "remove the node's files, and end")
}

// validate refuses values that the types of the flags accept.
func (cfg agentConfig) validate() error {
	if cfg.remove {
		return nil
	}
	for _, address := range cfg.Registry {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return fmt.Errorf("--registry has %.100q, which is not host:port", address)
		}
	}
	switch {
	case len(cfg.Registry) == 0:
		return errors.New("--registry is required: host:port of the cluster's registry")
	case cfg.Port < 1 || cfg.Port > 65535:
		return fmt.Errorf("--port is %d and must be from 1 to 65535", cfg.Port)
	case cfg.FirstByte < time.Second || cfg.FirstByte > 25*time.Second:
		return fmt.Errorf("--first-byte is %s and must be from 1s to 25s", cfg.FirstByte)
	case cfg.Requests < 4:
		return fmt.Errorf("--requests is %d and must be at least 4", cfg.Requests)
	case !slices.Contains([]string{accessAgent, accessClusterIP, accessRuntimeMirror}, cfg.access):
		return fmt.Errorf("--node-access is %.100q and must be Agent, ClusterIP or RuntimeMirror", cfg.access)
	case (cfg.access == accessRuntimeMirror) != (len(cfg.hosts) > 0):
		return errors.New("--mirror-hosts and --node-access=RuntimeMirror need each other")
	case (cfg.access == accessClusterIP) != (cfg.service != ""):
		return errors.New("--service-address and --node-access=ClusterIP need each other")
	}
	for _, name := range cfg.hosts {
		if image, err := rewrite.Parse(name + "/a"); err != nil || image.Host != name {
			return fmt.Errorf("--mirror-hosts has %.100q, which is not host or host:port of a registry that can be mirrored", name)
		}
	}
	if u, err := url.Parse("https://" + cfg.service); err != nil || u.Host != cfg.service || strings.Trim(cfg.service, ".") != cfg.service {
		return fmt.Errorf("--service-address is %.100q and must be host or host:port", cfg.service)
	}
	return nil
}

// runAgent runs until ctx ends, and until the answers in progress are complete.
func runAgent(ctx context.Context, cfg agentConfig) error {
	if cfg.remove {
		_, err := nodefiles.Remove(cfg.containerd, cfg.containers)
		return err
	}
	if err := limitMemory(0); err != nil {
		return err
	}
	cfg.Log = slog.New(slog.NewJSONHandler(terminal.JSON(os.Stderr), nil))
	cfg.Addresses = registry.AddressesOf(cfg.allowLoopback)
	cfg.Files.Certificate, cfg.Files.Key = filepath.Join(cfg.certificates, "tls.crt"), filepath.Join(cfg.certificates, "tls.key")
	a, err := agent.New(cfg.Options)
	if err != nil {
		return err
	}
	// Listen first: the node's files must lead to this process only.
	listeners, err := agent.Listen(ctx, cfg.Port)
	if err != nil {
		return err
	}
	cfg.Log.Info("serving", "addresses", len(listeners), "port", cfg.Port, "nodeAccess", cfg.access)
	all := prometheus.NewRegistry()
	all.MustRegister(a, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	g, ctx := errgroup.WithContext(ctx)
	var ready []func(*http.Request) error
	if cfg.access != accessAgent {
		files := nodefiles.NewKeeper(cfg.files, cfg.Log)
		all.MustRegister(files)
		if cfg.access == accessClusterIP { // pods use an address that depends on these files
			ready = append(ready, files.Ready)
		}
		g.Go(func() error { return files.Run(ctx, cfg.cleanUp) })
	}
	g.Go(func() error { return agent.Serve(ctx, listeners, a, cfg.Log) })
	g.Go(func() error { return serveBeside(ctx, cfg.probes, healthOf(ready...)) })
	g.Go(func() error { return serveBeside(ctx, cfg.metrics, promhttp.HandlerFor(all, promhttp.HandlerOpts{})) })
	return g.Wait()
}

// files returns the files that the node should have now.
func (cfg agentConfig) files() (nodefiles.Options, error) {
	o := nodefiles.Options{
		Hosts: nodefiles.Hosts(cfg.hosts), PlainHTTP: cfg.PlainHTTP, Agent: net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port)), Service: cfg.service,
	}
	o.Containerd, o.Containers = nodefiles.Runtimes(cfg.containerd, cfg.containers)
	if cfg.service == "" {
		return o, nil
	}
	return o, o.ReadFiles(cfg.Files.Authorities, cfg.Files.Certificate, cfg.Files.Key)
}
