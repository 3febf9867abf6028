package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/served"
)

// clusterFlags select the cluster of a command.
type clusterFlags struct{ kubeconfig, context, as string }

func (f *clusterFlags) add(cmd *cobra.Command) {
	to := cmd.Flags()
	to.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; default: $KUBECONFIG, the cluster that this runs in, ~/.kube/config")
	to.StringVar(&f.as, "as", "", "user to impersonate, as with kubectl; default: the one of the kubeconfig file")
	to.StringVar(&f.context, "context", "", "context of the kubeconfig file; default: its current one")
}

// connect returns an uncached client for the cluster. timeout bounds each
// request; 0 sets no bound. Every request passes through each of transports.
func (f *clusterFlags) connect(timeout time.Duration, transports ...transport.WrapperFunc) (*rest.Config, client.Client, error) {
	kube, err := f.load()
	if err != nil {
		return nil, nil, fmt.Errorf("finding the cluster: %w", err)
	}
	kube.Timeout = timeout
	if f.as != "" {
		kube.Impersonate = rest.ImpersonationConfig{UserName: f.as}
	}
	for _, t := range append(transports, served.Wrap) {
		kube.Wrap(t)
	}
	scheme, err := reference.NewScheme()
	if err != nil {
		return nil, nil, fmt.Errorf("registering kinds: %w", err)
	}
	api, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return kube, api, nil
}

// load finds the cluster: from the file of --kubeconfig if it is set, else as the flag's help says.
func (f *clusterFlags) load() (*rest.Config, error) {
	if f.kubeconfig == "" {
		return config.GetConfigWithContext(f.context)
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: f.kubeconfig}
	kube, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context}).ClientConfig()
	if err == nil && kube.QPS == 0 {
		kube.QPS = -1 // unlimited, as GetConfigWithContext has it: the API server limits requests
	}
	return kube, err
}
