package purge

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/purge/mirror"
	"github.com/nfo-operator/nfo/internal/purge/sweep"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Registry has the methods of a registry that a purge needs.
type Registry interface {
	sweep.Registry
	mirror.Registry
	// Collect asks the cluster's own registry for a collection. Any other registry: registry.ErrUnsupported.
	Collect(ctx context.Context, store client.ObjectKey) (registry.Collection, error)
}

// requests returns how many requests to a store's registry may run at the same time: 8 by default, 64 at most.
func requests(s *v1alpha1.ArtifactStore) int {
	const usual, most = 8, 64
	if n := int(s.Spec.Purge.Concurrency); n > 0 {
		return min(n, most)
	}
	return usual
}

// open opens a store's registry with the Secret that the store references, or with the token for the cluster's own registry.
func open(ctx context.Context, secrets SecretReader, s *v1alpha1.ArtifactStore, token string, addresses registry.Addresses) (*registry.Client, error) {
	var secret *corev1.Secret
	if ref := s.Spec.Registry.CredentialsSecretRef; ref != nil {
		var err error
		if secret, err = secrets(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ref.Name}); err != nil {
			return nil, err
		}
	}
	cfg, err := registry.ConfigOf(s, secret)
	switch {
	case err != nil:
		return nil, err
	case s.InClusterRegistry() && token == "":
		return nil, fmt.Errorf("%w: the purge has no token for the cluster's own registry. Write one to a file and name it with --registry-token: kubectl create token %s -n %s --audience %s",
			registry.ErrCredentials, cronjob.ObjectName(s.Name), s.Namespace, v1alpha1.ClusterRegistryAudience)
	case s.InClusterRegistry():
		cfg.TokenFile = token
	}
	cfg.Addresses = addresses
	return registry.Open(cfg)
}
