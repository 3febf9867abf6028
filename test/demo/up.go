package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	managerName      = "manager"
	managerNamespace = "nfo-system"
	managerAccount   = "nfo-manager"
	// tokenLife is longer than a demo runs.
	tokenLife = "8760h"
)

func newUpCommand() *cobra.Command {
	return inEnvironment("up", "Start a cluster, a registry and the operator in the background", func(ctx context.Context, e *environment) error {
		if err := e.up(ctx); err != nil {
			return err
		}
		fmt.Fprint(e.out, next)
		return nil
	})
}

const next = `
The operator runs. In this shell:

  source bin/dev.env           # KUBECONFIG, REGISTRY, and PATH with nfo, kubectl nfo and demo
  kubectl kustomize config/samples | sed "s#registry.example.com#$REGISTRY#" | kubectl apply -f -
  kubectl get as,am,nfdv,nsdv,ts -n publisher
  demo push --help             # puts images, charts and files into the registry

Logs are in bin/dev. "make demo" tells the whole story, "make down" ends it.
`

// up starts the processes that do not run. If none ran before and a step fails, it ends all of them.
func (e *environment) up(ctx context.Context) (err error) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		return fmt.Errorf("looking for kubectl, which has to be installed: %w", err)
	}
	running, err := e.running()
	if err != nil {
		return err
	}
	if !running {
		if err := e.down(ctx); err != nil { // removes files that a crash left behind
			return fmt.Errorf("cleaning up: %w", err)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, e.downAfter(ctx))
			}
		}()
	}
	if err := os.MkdirAll(e.path(""), 0o755); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"API server", e.startCluster},
		{"registry", e.startRegistry},
		{"kinds and roles", e.install},
		{"manager", e.startManager},
		{"webhooks", e.awaitWebhooks},
	} {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "  %-16s %5.1fs\n", step.name, time.Since(began).Seconds())
	}
	text := fmt.Sprintf("export KUBECONFIG=%s\nexport REGISTRY=%s\nexport PATH=%s:$PATH\n", quote(e.kubeconfig()), e.registryHost(), quote(filepath.Dir(e.nfo())))
	if err := os.WriteFile(e.variables(), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the variables: %w", err)
	}
	return nil
}

func (e *environment) startCluster(ctx context.Context) error {
	return e.cluster(ctx, "up", "--dir", e.clusterDir())
}

func (e *environment) startRegistry(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	return e.start(ctx, process{
		name:  registryName,
		argv:  []string{self, "registry", e.path("")},
		ready: func(ctx context.Context) bool { return answers(ctx, "http://"+e.registryHost()+"/v2/") },
	})
}

// install applies what the operator needs in the cluster, and writes the manager's kubeconfig.
func (e *environment) install(ctx context.Context) error {
	for _, args := range [][]string{
		{"apply", "-k", "config/crd"},
		{"apply", "-k", "config/rbac"},
		{"apply", "-k", "config/webhook"},
		{"wait", "crd", "--all", "--for=condition=Established", "--timeout=30s"},
	} {
		if _, err := e.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	token, err := e.kubectl(ctx, "create", "token", managerAccount, "--namespace", managerNamespace, "--duration", tokenLife)
	if err != nil {
		return err
	}
	return e.writeIdentity(e.path("manager.kubeconfig"), strings.TrimSpace(token))
}

// writeIdentity writes a kubeconfig of the cluster whose only login is a token.
func (e *environment) writeIdentity(path, token string) error {
	cfg, err := clientcmd.LoadFromFile(e.kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	user := cfg.Contexts[cfg.CurrentContext].AuthInfo
	cfg.AuthInfos = map[string]*clientcmdapi.AuthInfo{user: {Token: token}}
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}

// startManager runs the manager outside the cluster, with the rights that it has inside.
func (e *environment) startManager(ctx context.Context) error {
	if pid, err := holderOf(e.path(managerName + ".pid")); pid != 0 || err != nil {
		return err
	}
	probes, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	webhooks, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(webhooks)
	if err != nil {
		return fmt.Errorf("reading an address: %w", err)
	}
	if err := e.routeWebhooks(ctx, port); err != nil {
		return err
	}
	return e.start(ctx, process{
		name: managerName,
		argv: []string{
			e.nfo(), "manager", "--leader-election-namespace", managerNamespace, "--metrics-bind-address", "127.0.0.1:0",
			"--health-probe-bind-address", probes, "--allow-loopback-registries", "--purger-image", "nfo:dev", "--webhook-host", host, "--webhook-port", port,
		},
		env:   []string{"KUBECONFIG=" + e.path("manager.kubeconfig")},
		ready: func(ctx context.Context) bool { return answers(ctx, "http://"+probes+"/readyz") },
	})
}

func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// quote quotes a text as one word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
