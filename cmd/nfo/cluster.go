package main

import (
	"flag"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/nfo-operator/nfo/internal/controller"
)

// clusterFlags say which cluster a command is for.
type clusterFlags struct{ kubeconfig, context, as string }

func (f *clusterFlags) add(cmd *cobra.Command) {
	to := cmd.Flags()
	to.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; default: $KUBECONFIG, the cluster that this runs in, ~/.kube/config")
	to.StringVar(&f.as, "as", "", "user to impersonate, as with kubectl; default: the one of the kubeconfig file")
	to.StringVar(&f.context, "context", "", "context of the kubeconfig file; default: its current one")
}

// connect makes an uncached client for the cluster. timeout bounds a request; 0 is no bound.
func (f *clusterFlags) connect(timeout time.Duration) (*rest.Config, client.Client, error) {
	if f.kubeconfig != "" {
		// The flag that controller-runtime registers and GetConfig reads.
		if err := flag.Set(config.KubeconfigFlagName, f.kubeconfig); err != nil {
			return nil, nil, fmt.Errorf("setting the kubeconfig: %w", err)
		}
	}
	kube, err := config.GetConfigWithContext(f.context)
	if err != nil {
		return nil, nil, fmt.Errorf("finding the cluster: %w", err)
	}
	kube.Timeout = timeout
	if f.as != "" {
		kube.Impersonate = rest.ImpersonationConfig{UserName: f.as}
	}
	scheme, err := controller.NewScheme()
	if err != nil {
		return nil, nil, fmt.Errorf("registering kinds: %w", err)
	}
	api, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return kube, api, nil
}
