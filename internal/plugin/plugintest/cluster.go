package plugintest

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// Until is when the tokens of a Cluster expire.
var Until = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

const accountPrefix = "system:serviceaccount:"

// Cluster is an API server and the cluster's own registry, which has that API server review tokens.
type Cluster struct {
	API client.Client
	// Registry serves over TLS.
	Registry *registrytest.Registry
	// Users are the users of tokens that the API server has not issued, by token.
	Users map[string]string
	// Unaware are tokens of Users for which the API server returns no audience.
	Unaware []string
	// Pushers are the users who may push for every manifest.
	Pushers []string
	// Fails, unless nil, returns the error of a TokenRequest or TokenReview; nil for none.
	Fails func(what string) error
	// Requests are the answered TokenRequests.
	Requests []authenticationv1.TokenRequestSpec
}

// NewCluster starts a cluster with the store acme and its manifest m in the
// namespace p, and with two ServiceAccounts: ci may push, and nobody may not.
func NewCluster(t testing.TB, edit ...func(*v1alpha1.ArtifactStore)) *Cluster {
	t.Helper()
	c := &Cluster{Users: map[string]string{}, Pushers: []string{accountPrefix + "p:ci"}}
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	for _, add := range []func() error{func() error { return authenticationv1.AddToScheme(scheme) }, func() error { return authorizationv1.AddToScheme(scheme) }, func() error { return corev1.AddToScheme(scheme) }} {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{Create: c.review, SubResourceCreate: c.issue})
	if err := access.Index(t.Context(), referencetest.Indexer{To: b}); err != nil {
		t.Fatal(err)
	}
	store := &v1alpha1.ArtifactStore{ObjectMeta: Meta("acme")}
	store.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{}
	store.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
	m := Manifest("m", func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.ManifestScoped })
	c.API = b.WithObjects(store, m, &corev1.ServiceAccount{ObjectMeta: Meta("ci")}, &corev1.ServiceAccount{ObjectMeta: Meta("nobody")}).Build()
	auth, err := access.New(access.Options{Reviews: c.API, Objects: c.API}).Configuration()
	if err != nil {
		t.Fatal(err)
	}
	c.Registry = registrytest.Start(t, registrytest.TLS(), registrytest.Own(), registrytest.Access(auth, access.Handler))
	store.Status.URL, store.Status.CABundle = c.Registry.URL("p"), c.Registry.CA
	for _, e := range edit {
		e(store)
	}
	if err := c.API.Update(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return c
}

// Mirror adds the store of a mirror to the operator's namespace, in the same registry.
func (c *Cluster) Mirror(t testing.TB, policy v1alpha1.RewritePolicy) *v1alpha1.ArtifactStore {
	t.Helper()
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.MirrorName}}
	s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: v1alpha1.MirrorPrefix}
	s.Spec.Mirror = &v1alpha1.MirrorSpec{Rewrite: policy}
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
	s.Status.URL, s.Status.CABundle = c.Registry.URL(v1alpha1.MirrorPrefix), c.Registry.CA
	if err := c.API.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// ServePlatforms replaces the registry by `nfo registry` on a volume in dir, with a mirror that needs only these platforms.
func (c *Cluster) ServePlatforms(t testing.TB, dir string, platforms platform.List) {
	t.Helper()
	v, err := volume.Open(dir, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := serve.New(t.Context(), serve.Options{Volume: v, Access: access.New(access.Options{Reviews: c.API, Objects: c.API}), MirrorPlatforms: platforms})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	c.Registry.App = r.Handler()
}

// issue answers a TokenRequest.
func (c *Cluster) issue(ctx context.Context, api client.Client, _ string, o, request client.Object, _ ...client.SubResourceCreateOption) error {
	if err := c.failure("TokenRequest"); err != nil {
		return err
	}
	if err := api.Get(ctx, client.ObjectKeyFromObject(o), &corev1.ServiceAccount{}); err != nil {
		return err
	}
	r := request.(*authenticationv1.TokenRequest)
	c.Requests = append(c.Requests, r.Spec)
	r.Status = authenticationv1.TokenRequestStatus{Token: "token-of-" + o.GetNamespace() + ":" + o.GetName(), ExpirationTimestamp: metav1.NewTime(Until)}
	return nil
}

// review answers a TokenReview or a SubjectAccessReview, and stores everything else.
func (c *Cluster) review(ctx context.Context, api client.WithWatch, o client.Object, options ...client.CreateOption) error {
	switch o := o.(type) {
	default:
		return api.Create(ctx, o, options...)
	case *authenticationv1.TokenReview:
		if err := c.failure("TokenReview"); err != nil {
			return err
		}
		user, known := c.Users[o.Spec.Token]
		if account, ok := strings.CutPrefix(o.Spec.Token, "token-of-"); ok {
			user, known = accountPrefix+account, true
		}
		o.Status = authenticationv1.TokenReviewStatus{Authenticated: known, User: authenticationv1.UserInfo{Username: user}}
		if known && !slices.Contains(c.Unaware, o.Spec.Token) {
			o.Status.Audiences = o.Spec.Audiences
		}
	case *authorizationv1.SubjectAccessReview:
		o.Status.Allowed = slices.Contains(c.Pushers, o.Spec.User)
	}
	return nil
}

func (c *Cluster) failure(what string) error {
	if c.Fails == nil {
		return nil
	}
	return c.Fails(what)
}

// Forbidden returns the API server's refusal to create a resource.
func Forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
}

// Homeless sets empty folders for docker's and podman's logins in a test, and returns their parent folder.
func Homeless(t testing.TB) string {
	t.Helper()
	home := t.TempDir()
	env := map[string]string{"DOCKER_CONFIG": home + "/docker", "XDG_RUNTIME_DIR": home + "/run", "XDG_CONFIG_HOME": home + "/config", "REGISTRY_AUTH_FILE": "", "KUBECONFIG": home + "/kubeconfig"}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		t.Setenv(name, env[name])
	}
	return home
}

// LoggedIn writes docker's file with a login for some hosts, for one test.
func LoggedIn(t testing.TB, hosts ...string) {
	t.Helper()
	folder := Homeless(t) + "/docker"
	var auths []string
	for _, host := range hosts {
		auths = append(auths, `"`+host+`": {"auth": "`+base64.StdEncoding.EncodeToString([]byte("me:correct-horse"))+`"}`)
	}
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(folder+"/config.json", []byte(`{"auths": {`+strings.Join(auths, ", ")+`}}`), 0o600)); err != nil {
		t.Fatal(err)
	}
}
