package purge

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	older := func(s *v1alpha1.ArtifactStore) {
		s.Name, s.UID, s.CreationTimestamp, s.Spec.Registry.URL = "older", "older", *ago(200), "https://registry.example.com"
	}
	tests := map[string]struct {
		reason string
		stores []*v1alpha1.ArtifactStore
		says   string
	}{
		"None":       {"it may have been deleted", nil, "no store"},
		"NotJudged":  {"no condition yet", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) { s.Status.Conditions = nil })}, "not judged"},
		"JudgedOld":  {"the condition is of an older spec", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) { s.Generation = 2 })}, "not judged"},
		"Unknown":    {"the manager does not know", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) { s.Status.Conditions[0].Status = metav1.ConditionUnknown })}, "not judged"},
		"I9Conflict": {"an older store of any namespace", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) { s.Status.Conditions[0].Reason = v1alpha1.ReasonPathConflict })}, "PathConflict"},
		"I9Older":    {"an older store of this one, which the manager has not seen", []*v1alpha1.ArtifactStore{aStore(), aStore(older)}, "older store publisher/older"},
		"Place": {"the administrator gave the place to others", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) {
			s.Status.Conditions[0].Status, s.Status.Conditions[0].Reason, s.Status.Conditions[0].Message = metav1.ConditionFalse, v1alpha1.ReasonPlaceRefused, "reserved for another"
		})}, "PlaceRefused: reserved for another"},
		"Shared": {"another store may be in the same registry", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) {
			s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionPurgeHealthy, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonMayShareRegistry, Message: "store x/y"})
		})}, "MayShareRegistry: store x/y"},
		"URL":      {"nowhere", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.URL = "ftp://x" })}, "InvalidURL"},
		"Deleting": {"it is on its way out", []*v1alpha1.ArtifactStore{aStore(func(s *v1alpha1.ArtifactStore) { s.DeletionTimestamp, s.Finalizers = ago(1), []string{"x"} })}, "being deleted"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, gate: &gate{left: -1}}
			objects := []client.Object{aTombstone("t", released(25, "1.0.0", "a"))}
			for _, s := range tc.stores {
				objects = append(objects, s)
			}
			w.serve(objects...)
			report, err := Run(t.Context(), Config{Namespace: namespace, Store: "acme", Client: w.api, Open: func(context.Context, *v1alpha1.ArtifactStore) (Registry, error) {
				t.Errorf("%s: the registry is opened", tc.reason)
				return nil, errCrashed
			}})
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: the error is %v, want ErrRefused with %q", tc.reason, err, tc.says)
			}
			if w.gate.writes != 0 || report.Outcome != v1alpha1.PurgeFailed {
				t.Errorf("%s: %d writes, want none; the outcome is %s", tc.reason, w.gate.writes, report.Outcome)
			}
		})
	}
}

func TestI2ListThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	for _, broken := range []client.ObjectList{
		&v1alpha1.ArtifactStoreList{}, &v1alpha1.ArtifactManifestList{}, &v1alpha1.NetworkFunctionDefinitionVersionList{},
		&v1alpha1.NetworkServiceDesignVersionList{}, &v1alpha1.TombstoneList{},
	} {
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(aStore()).WithInterceptorFuncs(interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
				if runtimeType(l) == runtimeType(broken) {
					return errCrashed
				}
				return c.List(ctx, l, opts...)
			},
		}).Build()
		if _, err := Run(t.Context(), Config{Namespace: namespace, Store: "acme", Client: api}); !errors.Is(err, errCrashed) {
			t.Errorf("without %T the purge says %v", broken, err)
		}
	}
}

func TestOpenReadsTheSecret(t *testing.T) {
	t.Parallel()
	reg := registrytest.Start(t, registrytest.BasicAuth("nfo", "secret"))
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	store := aStore(func(s *v1alpha1.ArtifactStore) {
		s.Spec.Registry.URL = reg.URL("acme")
		s.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "acme-push"}
	})
	builder := fake.NewClientBuilder().WithScheme(scheme)
	if _, err := open(t.Context(), StoredSecrets(builder.Build()), store, "", registry.RemoteAndLoopback); err == nil || !strings.Contains(err.Error(), "publisher/acme-push") {
		t.Errorf("without the Secret the error is %v", err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme-push"}, Type: corev1.SecretTypeBasicAuth,
		Data: map[string][]byte{"username": []byte("nfo"), "password": []byte("secret")},
	}
	c, err := open(t.Context(), StoredSecrets(fake.NewClientBuilder().WithScheme(scheme).WithObjects(secret).Build()), store, "", registry.RemoteAndLoopback)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Tags(t.Context(), repo); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("with the Secret the registry says %v, want that it has no such repository", err)
	}
}

func TestOpenLogsInToTheClustersRegistry(t *testing.T) {
	t.Parallel()
	reg := registrytest.Start(t, registrytest.BasicAuth("nfo", "a token of the account"))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a token of the account\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := aStore(func(s *v1alpha1.ArtifactStore) {
		s.Spec.Registry = v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: "acme"}}
	})
	for name, tc := range map[string]struct {
		reason, url, token string
		want               error
		says               string
	}{
		"Token":      {"the account's own", reg.URL("acme"), token, nil, ""},
		"NoToken":    {"a person runs it by hand", reg.URL("acme"), "", registry.ErrCredentials, "kubectl create token acme-purge -n publisher --audience nfo-registry"},
		"NoRegistry": {"it was disabled", "", token, registry.ErrNoClusterRegistry, "registry.enabled=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store.DeepCopy()
			s.Status.URL = tc.url
			c, err := open(t.Context(), nil, s, tc.token, registry.RemoteAndLoopback)
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("%s: the error is %v, want %q", tc.reason, err, tc.says)
			}
			if err != nil {
				return
			}
			defer c.Close()
			if _, err := c.Tags(t.Context(), repo); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("%s: the registry says %v, want that it has no such repository", tc.reason, err)
			}
		})
	}
}

func TestSummed(t *testing.T) {
	t.Parallel()
	a, b := errors.New("a"), errors.New("b")
	if summed(nil) != nil {
		t.Error("no errors are an error")
	}
	if err := summed([]error{b, a}); !errors.Is(err, a) || err.Error() != "a; reading the registry had 1 more error" {
		t.Errorf("two errors are %v", err)
	}
	if err := summed([]error{b, a, b}); err.Error() != "a; reading the registry had 2 more errors" {
		t.Error(err)
	}
}
