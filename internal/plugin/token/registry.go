package token

import (
	"errors"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// ErrElsewhere is the error for a store that is not in the cluster's own registry.
var ErrElsewhere = errors.New("not in the cluster's own registry")

// Registry returns the connection to the cluster's own registry for a store: at status.url, or at address,
// host:port, unless that is "". The registry's certificate must chain to status.caBundle and be valid for
// the host. For another store the error wraps ErrElsewhere; other errors say what to wait for or to do.
func Registry(s *v1alpha1.ArtifactStore, address string) (registry.Config, error) {
	id := v1alpha1.ResourceID(v1alpha1.KindArtifactStore, s.Namespace, s.Name)
	if !s.InClusterRegistry() {
		return registry.Config{}, fmt.Errorf("%s is at %s, %w: log in with 'docker login' or 'podman login'", id, s.RegistryURL(), ErrElsewhere)
	}
	if s.Status.URL == "" {
		return registry.Config{}, notReady(id, s)
	}
	config, err := registry.ConfigOf(s, nil)
	if err == nil && address != "" {
		config.Location, err = config.Location.At(address)
	}
	if err != nil {
		return registry.Config{}, fmt.Errorf("reading where %s is: %w", id, err)
	}
	return config, nil
}

// notReady returns why a store has no status.url.
func notReady(id string, s *v1alpha1.ArtifactStore) error {
	c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Status == metav1.ConditionTrue {
		return fmt.Errorf("%s has no status.url: the manager has not checked it yet. Try again in some seconds; if this stays, check that the manager runs", id)
	}
	return fmt.Errorf("%s has no status.url: %s", id, c.Message)
}
