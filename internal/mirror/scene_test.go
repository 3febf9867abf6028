package mirror

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload/workloadtest"
)

const (
	theUser     = "puller"
	thePassword = "the password of the source"
)

// scene is a source, a mirror in a registry of nfo's own, and a cluster.
type scene struct {
	t      *testing.T
	source *registrytest.Registry // the source as the mirror reaches it
	inside *registrytest.Registry // the source as tests push to it
	target *registrytest.Registry
	dir    string // the folder of the target
	api    client.Client
	mirror *Mirror
	store  *v1alpha1.ArtifactStore
}

// newScene returns a scene whose source has these options.
func newScene(t *testing.T, options ...registrytest.Option) *scene {
	t.Helper()
	dir := t.TempDir()
	s := &scene{t: t, dir: t.TempDir(), inside: registrytest.Start(t, registrytest.InDir(dir))}
	s.source = registrytest.Start(t, append(options, registrytest.InDir(dir))...)
	s.target = registrytest.Start(t, registrytest.Own(), registrytest.InDir(s.dir))
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	s.store = &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "nfo-system", Name: v1alpha1.MirrorName}}
	s.store.Spec.Mirror = &v1alpha1.MirrorSpec{PullAddress: "127.0.0.1:7439"}
	s.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(s.known("publisher", "acme", nil)).Build()
	s.open(Options{})
	return s
}

// open creates the mirror, as after a restart of the manager.
func (s *scene) open(o Options) {
	s.t.Helper()
	to, err := registry.Open(registry.Config{Location: s.target.Location(v1alpha1.MirrorPrefix)})
	if err != nil {
		s.t.Fatal(err)
	}
	o.API, o.Stores, o.Addresses, o.RequestsPerSecond = s.api, s.api, registry.RemoteAndLoopback, 1e6
	o.Open = func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error) { return to, nil }
	kube, through := workloadtest.Lists(s.t, s.api)
	if s.mirror, err = New(kube, through, o); err != nil {
		s.t.Fatal(err)
	}
}

// known creates a store at the source whose registry has answered once.
func (s *scene) known(namespace, name string, secret *v1alpha1.LocalReference) *v1alpha1.ArtifactStore {
	o := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	o.Spec.Registry = v1alpha1.RegistrySpec{URL: s.source.URL("acme"), CABundle: s.source.CA, CredentialsSecretRef: secret}
	o.Status.FirstReadyTime = &metav1.Time{Time: time.Unix(1000, 0)}
	o.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
	return o
}

func (s *scene) create(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		if err := s.api.Create(s.t.Context(), o); err != nil {
			s.t.Fatal(err)
		}
	}
}

// image returns an image at the source.
func (s *scene) image(name string) rewrite.Image {
	s.t.Helper()
	i, err := rewrite.Parse(s.source.Host + "/acme/" + name)
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

// pushed pushes an index for two platforms, with the tag 1.
func (s *scene) pushed(repository, seed string) ocispec.Descriptor {
	s.t.Helper()
	d, err := registrytest.PushIndex(s.t.Context(), s.inside.Host, "acme/"+repository, "1", []string{"linux/amd64", "linux/arm64"}, seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// question returns the question for an Artifact of a namespace.
func (s *scene) question(namespace string, i rewrite.Image) Question {
	return Question{Image: i, Namespace: namespace, UID: types.UID(namespace + i.String()), Mirror: s.store}
}

// login returns a Secret with a login for the source.
func (s *scene) login(namespace, name, password string) *corev1.Secret {
	auth := base64.StdEncoding.EncodeToString([]byte(theUser + ":" + password))
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, s.source.Host, auth),
	}}
}

// pod returns a pod that uses an image and has pull secrets.
func pod(namespace, image string, secrets ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "upf"}}
	p.Spec.ServiceAccountName = "default"
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: image}}
	for _, name := range secrets {
		p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return p
}

// ask asks the source for the namespace ran.
func (s *scene) ask(i rewrite.Image) Answer {
	s.t.Helper()
	a, err := s.mirror.Ask(s.t.Context(), s.question("ran", i))
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// copy copies the whole image, with its tag, for an Artifact of the namespace ran.
func (s *scene) copy(i rewrite.Image) Copied {
	s.t.Helper()
	a := s.ask(i)
	done, err := s.mirror.Copy(s.t.Context(), Job{Image: i, Mirror: s.store, Answer: a, Moved: func(int64, int64) {}})
	if err == nil {
		was, lookErr := s.mirror.Has(s.t.Context(), s.store, i, i.Reference())
		if err = lookErr; err == nil {
			err = s.mirror.Tag(s.t.Context(), s.store, i, a.Descriptor.Digest, was.Digest)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return done
}

// has fails the test unless the mirror has the whole image at a digest.
func (s *scene) has(i rewrite.Image, want ocispec.Descriptor) {
	s.t.Helper()
	d, err := s.mirror.Has(s.t.Context(), s.store, i, i.Reference())
	if err != nil || d.Digest != want.Digest {
		s.t.Errorf("the mirror has %s of %s, want %s, %v", d.Digest, i, want.Digest, err)
	}
}

// blobs matches requests that download or upload blobs.
func blobs(req *http.Request) bool {
	return strings.Contains(req.URL.Path, "/blobs/") && (req.Method == http.MethodGet || req.Method == http.MethodPut || req.Method == http.MethodPatch)
}
