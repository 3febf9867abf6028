package plugin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Connect returns an uncached client for the cluster of the flags. Warnings
// of the API server are written to standard error, as kubectl does.
func Connect(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) (client.Client, error) {
	kube, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	kube.QPS, kube.Burst = 50, 300 // as kubectl's
	kube.WarningHandler = rest.NewWarningWriter(streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	mapper, err := flags.ToRESTMapper()
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	api, err := client.New(kube, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return api, nil
}

// ConnectFor connects to the cluster of the flags. It returns the namespace of the flags, and the kind of a resource's name.
func ConnectFor(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, resource string) (api client.Client, namespace, kind string, err error) {
	if namespace, _, err = config.ToRawKubeConfigLoader().Namespace(); err != nil {
		return nil, "", "", &Error{Code: ExitFailed, Err: fmt.Errorf("finding the namespace: %w", err)}
	}
	if api, err = Connect(config, streams); err != nil {
		return nil, "", "", &Error{Code: ExitFailed, Err: err}
	}
	kind, err = kindOf(config, resource)
	return api, namespace, kind, err
}

// kinds are the kinds that a user can ask for.
var kinds = []string{
	v1alpha1.KindArtifactStore, v1alpha1.KindArtifactManifest, v1alpha1.KindDefinition,
	v1alpha1.KindDesign, v1alpha1.KindSite, v1alpha1.KindTombstone, v1alpha1.KindArtifact,
}

// kindOf returns the kind for a resource's name in the plural, singular or short form.
func kindOf(config *genericclioptions.ConfigFlags, resource string) (string, error) {
	mapper, err := config.ToRESTMapper()
	if err != nil {
		return "", &Error{Code: ExitFailed, Err: fmt.Errorf("asking the cluster for its kinds: %w", err)}
	}
	// Like kubectl, it accepts am.v1alpha1.nfo.dev and am.nfo.dev.
	full, short := schema.ParseResourceArg(strings.ToLower(resource))
	kind, err := mapper.KindFor(short.WithVersion(""))
	if err != nil && full != nil {
		kind, err = mapper.KindFor(*full)
	}
	if err != nil {
		return "", &Error{Code: ExitFailed, Err: fmt.Errorf("finding the kind %q: %w", resource, err)}
	}
	if kind.Group != v1alpha1.GroupVersion.Group || !slices.Contains(kinds, kind.Kind) {
		return "", Usage("%q is not one of as, am, nfdv, nsdv, sns, ts and art", resource)
	}
	return kind.Kind, nil
}
