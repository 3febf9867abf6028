package plugin

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Mirror reads the store of the mirror in the operator's namespace.
func Mirror(ctx context.Context, api client.Reader, namespace string) (*v1alpha1.ArtifactStore, error) {
	store := &v1alpha1.ArtifactStore{}
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.MirrorName}, store)
	switch {
	case apierrors.IsNotFound(err), err == nil && store.Spec.Mirror == nil:
		return nil, fmt.Errorf("no mirror in namespace %s: --mirror-namespace names another one, and the chart's value mirror.enabled makes one", namespace)
	case err != nil:
		return nil, fmt.Errorf("reading the store of the mirror: %w", err)
	}
	return store, nil
}
