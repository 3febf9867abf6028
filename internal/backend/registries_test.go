package backend

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// clusterStore is a store in the cluster's own registry, with a forged status.
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

// The manager relies on its own configuration, whatever a status says, and follows a new certificate and a new token.
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

// remoteStore is a store in an external registry, with its login in a Secret.
func remoteStore(reg *registrytest.Registry) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "remote", UID: "remote", Generation: 1}}
	s.Spec.Registry.URL = "http://" + reg.Host + "/acme"
	s.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "login"}
	return s
}

func login(password string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "login"}, Type: corev1.SecretTypeBasicAuth,
		Data: map[string][]byte{corev1.BasicAuthUsernameKey: []byte("jane"), corev1.BasicAuthPasswordKey: []byte(password)},
	}
}

// A changed password takes effect at once. A store that is deleted with its Secret
// is still released with the last password. Requests are counted under the store.
func TestASecretIsFollowed(t *testing.T) {
	t.Parallel()
	reg := registrytest.Start(t, registrytest.BasicAuth("jane", "right"))
	s := remoteStore(reg)
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(s).Build()
	speeds := lane.NewSpeeds(clocktesting.NewFakePassiveClock(metav1.Unix(0, 0).Time))
	counted := map[types.NamespacedName]int{}
	r := NewRegistries(api, nil, speeds, 0, registry.RemoteAndLoopback, registry.ClusterRegistry{}).Count(func(store types.NamespacedName, next http.RoundTripper) http.RoundTripper {
		return counting{&counted, store, next}
	})
	if _, err := r.Open(t.Context(), s); !errors.Is(err, ErrSecretNotFound) {
		t.Errorf("without the Secret the error is %v", err)
	}
	secret := login("wrong")
	if err := api.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	ping := func() error {
		t.Helper()
		c, err := r.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return c.Ping(t.Context())
	}
	if err := ping(); !errors.Is(err, registry.ErrDenied) {
		t.Errorf("with a wrong password the registry says %v", err)
	}
	secret.Data[corev1.BasicAuthPasswordKey] = []byte("right")
	if err := api.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if err := ping(); err != nil {
		t.Errorf("with the right password the registry says %v", err)
	}
	if err := api.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(t.Context(), s); !errors.Is(err, ErrSecretNotFound) {
		t.Errorf("without the Secret the error is %v", err)
	}
	s.DeletionTimestamp = new(metav1.Now())
	if err := ping(); err != nil {
		t.Errorf("a store that is being deleted cannot be opened any more: %v", err)
	}
	if len(counted) != 1 || counted[types.NamespacedName{Namespace: "publisher", Name: "remote"}] < 3 {
		t.Errorf("counted were %v", counted)
	}
	r.Forget(s.UID)
	if _, err := r.Open(t.Context(), s); !errors.Is(err, ErrSecretNotFound) {
		t.Errorf("what was forgotten is still open: %v", err)
	}
	if r.Budget() == nil {
		t.Error("no bound of memory to share")
	}
}

type counting struct {
	all   *map[types.NamespacedName]int
	store types.NamespacedName
	next  http.RoundTripper
}

func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	(*c.all)[c.store]++
	return c.next.RoundTrip(req)
}

// A store that was deleted and created again is another store: the certificates that were read must not be used for it.
func TestAStoreThatIsAnotherByNow(t *testing.T) {
	t.Parallel()
	reg := registrytest.Start(t)
	s := remoteStore(reg)
	s.Spec.Registry.CredentialsSecretRef = nil
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	speeds := lane.NewSpeeds(clocktesting.NewFakePassiveClock(metav1.Unix(0, 0).Time))
	for name, there := range map[string][]client.Object{"gone": nil, "another": {s}} {
		r := NewRegistries(fake.NewClientBuilder().WithScheme(scheme).WithObjects(there...).Build(), nil, speeds, 0, registry.RemoteAndLoopback, registry.ClusterRegistry{})
		seen := s.DeepCopy()
		seen.UID = "before"
		if _, err := r.Open(t.Context(), seen); !errors.Is(err, reference.ErrSuperseded) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	bad := s.DeepCopy()
	bad.Spec.Registry.CABundle = []byte("no certificate")
	r := NewRegistries(fake.NewClientBuilder().WithScheme(scheme).WithObjects(bad).Build(), nil, speeds, 0, registry.RemoteAndLoopback, registry.ClusterRegistry{})
	if _, err := r.Open(t.Context(), bad); !errors.Is(err, ErrCABundle) {
		t.Errorf("with a CA bundle that is not one the error is %v", err)
	}
}

// A pass over a manifest may open the store while the store is
// being deleted: nothing would forget the client that is made then.
func TestAStoreThatGoesWhileItIsOpened(t *testing.T) {
	t.Parallel()
	s := remoteStore(registrytest.Start(t))
	s.Spec.Registry.CredentialsSecretRef = nil
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	r := NewRegistries(fake.NewClientBuilder().WithScheme(scheme).WithObjects(s).Build(), nil, lane.NewSpeeds(clocktesting.NewFakePassiveClock(metav1.Unix(0, 0).Time)), 0, registry.RemoteAndLoopback, registry.ClusterRegistry{})
	goes := true
	r.Count(func(_ types.NamespacedName, next http.RoundTripper) http.RoundTripper {
		if goes {
			r.Forget(s.UID)
		}
		return next
	})
	for _, goes = range []bool{true, false} {
		c, err := r.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("the registry says %v", err)
		}
		if kept := len(r.open) == 1; kept == goes {
			t.Errorf("the client is kept: %t, and the store goes: %t", kept, goes)
		}
	}
}

// Inert alone decides whether anything may be done in a store.
func TestInert(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		condition, want string
	}{
		"NotJudged": {"", v1alpha1.ReasonPending}, "Down": {v1alpha1.ReasonUnavailable, ""}, "Ready": {v1alpha1.ReasonReady, ""},
		"Conflict": {v1alpha1.ReasonPathConflict, v1alpha1.ReasonPathConflict}, "Refused": {v1alpha1.ReasonPlaceRefused, v1alpha1.ReasonPlaceRefused}, "URL": {v1alpha1.ReasonInvalidURL, v1alpha1.ReasonInvalidURL},
	}
	for name, tc := range tests {
		s := &v1alpha1.ArtifactStore{}
		if tc.condition != "" {
			s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: tc.condition}}
		}
		got := ""
		if c := Inert(s); c != nil {
			got = c.Reason
		}
		if got != tc.want {
			t.Errorf("%s: it is inert by %q, want %q", name, got, tc.want)
		}
	}
}
