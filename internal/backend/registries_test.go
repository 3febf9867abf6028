package backend

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// clusterStore is a store in the cluster's own registry, whose status somebody has made up.
func clusterStore() *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "acme", UID: "acme", Generation: 1}}
	s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{}
	s.Status.URL, s.Status.CABundle = "http://192.0.2.1/elsewhere", []byte("made up")
	return s
}

func registries(t *testing.T, cluster registry.ClusterRegistry) *Registries {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(clusterStore()).Build()
	return NewRegistries(api, nil, lane.NewSpeeds(clocktesting.NewFakePassiveClock(metav1.Unix(0, 0).Time)), 0, registry.RemoteAndLoopback, cluster)
}

// The manager goes by its own configuration, whatever a status says, and follows a new certificate and a new token.
func TestTheClustersRegistryIsFollowed(t *testing.T) {
	t.Parallel()
	const token = "the token of the manager"
	reg := registrytest.Start(t, registrytest.TLS(), registrytest.BasicAuth("nfo", token))
	dir := t.TempDir()
	cluster := registry.ClusterRegistry{Address: reg.Host, CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token")}
	write := func(file string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := registries(t, cluster)
	if _, err := r.Open(t.Context(), clusterStore()); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("without the certificates the error is %v", err)
	}
	other := registrytest.Start(t, registrytest.TLS())
	write(cluster.CAFile, other.CA[:len(other.CA)/2])
	if _, err := r.Open(t.Context(), clusterStore()); !errors.Is(err, ErrCABundle) {
		t.Fatalf("while the certificates are written the error is %v", err)
	}
	write(cluster.CAFile, reg.CA)
	write(cluster.TokenFile, []byte("an older token"))
	first, err := r.Open(t.Context(), clusterStore())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Ping(t.Context()); !errors.Is(err, registry.ErrDenied) {
		t.Errorf("with an older token the registry says %v", err)
	}
	write(cluster.TokenFile, []byte(token))
	if err := first.Ping(t.Context()); err != nil {
		t.Errorf("with the new token the registry says %v", err)
	}
	if got := first.Location(); got.Host != reg.Host || got.Prefix != "publisher" {
		t.Errorf("the store is opened at %+v", got)
	}
	if again, err := r.Open(t.Context(), clusterStore()); err != nil || again != first {
		t.Errorf("opened again without a change it is another client, %v", err)
	}
	write(cluster.CAFile, append(reg.CA, reg.CA...))
	if again, err := r.Open(t.Context(), clusterStore()); err != nil || again == first {
		t.Errorf("opened again with new certificates it is the same client, %v", err)
	}
}

func TestAClusterWithoutARegistry(t *testing.T) {
	t.Parallel()
	if _, err := registries(t, registry.ClusterRegistry{}).Open(t.Context(), clusterStore()); !errors.Is(err, registry.ErrNoClusterRegistry) {
		t.Errorf("the error is %v, want %v", err, registry.ErrNoClusterRegistry)
	}
}
