package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

var env *environment.Environment

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests spend most of their time waiting.
	if err := flag.Set("test.parallel", "10"); err != nil {
		log.Fatal(err)
	}
	code := environment.Main(m, &env)
	if code == 0 && flag.Lookup("test.run").Value.String() == "" { // all tests have run
		if err := env.LeastPrivilege(environment.ManagerUser); err != nil {
			log.Print(err)
			code = 1
		}
	}
	os.Exit(code)
}

// patience is how long anything that happens without further action may take.
const patience = time.Minute

// scene is one publisher: a namespace, a registry, and short functions for a test's objects.
type scene struct {
	*gomega.WithT
	t        *testing.T
	ns       string
	registry *registrytest.Registry
	// inside is where tests push and check content: the registry itself, or a plain registry with the same files.
	inside *registrytest.Registry
}

// newScene makes a namespace and a registry for one test.
func newScene(t *testing.T) *scene {
	t.Helper()
	r := registrytest.Start(t)
	return sceneAt(t, r, r)
}

// newGuardedScene returns a scene to whose registry the tests cannot
// push directly: it requires a login, uses TLS, or accepts no writes.
func newGuardedScene(t *testing.T, opts ...registrytest.Option) *scene {
	t.Helper()
	dir := t.TempDir()
	inside := registrytest.Start(t, registrytest.InDir(dir))
	return sceneAt(t, registrytest.Start(t, append(opts, registrytest.InDir(dir))...), inside)
}

// neighbour returns another publisher at the same registry.
func (s *scene) neighbour() *scene {
	s.t.Helper()
	return sceneAt(s.t, s.registry, s.inside)
}

func sceneAt(t *testing.T, r, inside *registrytest.Registry) *scene {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "publisher-"}}
	if err := env.Client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	g := gomega.NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	g.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	s := &scene{WithT: g, t: t, ns: ns.Name, registry: r, inside: inside}
	t.Cleanup(s.dismantle)
	return s
}

// dismantle deletes the stores. The registry of another test may get the same
// port, and an older store of the same URL would make that test's store inert.
func (s *scene) dismantle() {
	ctx := context.WithoutCancel(s.t.Context())
	var stores v1alpha1.ArtifactStoreList
	if err := env.Client.List(ctx, &stores, client.InNamespace(s.ns)); err != nil {
		s.t.Error(err)
	}
	for i := range stores.Items {
		o := &stores.Items[i]
		patch := client.MergeFrom(o.DeepCopy())
		o.Finalizers = nil
		if err := client.IgnoreNotFound(env.Client.Patch(ctx, o, patch)); err != nil {
			s.t.Error(err)
		}
		if err := client.IgnoreNotFound(env.Client.Delete(ctx, o)); err != nil {
			s.t.Error(err)
		}
	}
}

// manage starts a manager for the scene's namespace.
func (s *scene) manage(change ...func(*environment.ManagerOptions)) *environment.Manager {
	s.t.Helper()
	o := environment.ManagerOptions{Namespaces: []string{s.ns}}
	for _, c := range change {
		c(&o)
	}
	return env.StartManager(s.t, o)
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.ns, Name: name}
}

// store returns a store in the scene's registry, with a grace period that is longer than every test.
func (s *scene) store(name string, change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	o := &v1alpha1.ArtifactStore{ObjectMeta: s.meta(name), Spec: v1alpha1.ArtifactStoreSpec{
		Registry: v1alpha1.RegistrySpec{URL: s.registry.URL("acme")},
		Purge:    v1alpha1.PurgeSpec{GracePeriod: metav1.Duration{Duration: time.Hour}},
	}}
	for _, c := range change {
		c(o)
	}
	return o
}

// manifest returns a manifest that lists artifacts, as name:version, in the store "acme".
func (s *scene) manifest(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	o := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta(name)}
	o.Spec.ArtifactStoreRef.Name = "acme"
	for _, a := range artifacts {
		n, v, _ := strings.Cut(a, ":")
		o.Spec.Artifacts = append(o.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: n, ArtifactVersion: v})
	}
	return o
}

// definition returns a definition that references a manifest and a chart in it, in version 1 or in the range after a colon.
func (s *scene) definition(name, manifest, chart string) *v1alpha1.NetworkFunctionDefinitionVersion {
	chart, versions, _ := strings.Cut(chart, ":")
	o := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta(name)}
	o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
		Name: "app",
		ArtifactProfile: v1alpha1.HelmApplicationProfile{
			ArtifactSource:      v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: manifest}},
			HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: chart, HelmPackageVersionRange: cmp.Or(versions, "1")},
		},
	}}
	return o
}

// design returns a design that references a definition and an artifact of a manifest.
func (s *scene) design(name, manifest, artifact, definition string) *v1alpha1.NetworkServiceDesignVersion {
	o := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: s.meta(name)}
	n, v, _ := strings.Cut(artifact, ":")
	o.Spec.ResourceElementTemplates = []v1alpha1.ResourceElementTemplate{{
		Name: "site", Type: v1alpha1.NetworkFunctionDefinition,
		Configuration: v1alpha1.ResourceElementConfiguration{
			ArtifactProfile: &v1alpha1.TemplateArtifactProfile{
				ArtifactSource: v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: manifest}},
				ArtifactName:   n, ArtifactVersion: v,
			},
			NetworkFunctionDefinitionVersionRef: &v1alpha1.LocalReference{Name: definition},
		},
	}}
	return o
}

func (s *scene) create(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		if err := env.Client.Create(s.t.Context(), o); err != nil {
			s.t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
	}
}

// delete requests deletion and does not wait.
func (s *scene) delete(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		if err := env.Client.Delete(s.t.Context(), o); client.IgnoreNotFound(err) != nil {
			s.t.Fatalf("deleting %T %s: %v", o, o.GetName(), err)
		}
	}
}

// change edits an object and retries until the write has no conflict.
func change[T client.Object](s *scene, o T, edit func(T)) {
	s.t.Helper()
	s.Eventually(func() error {
		if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		edit(o)
		return env.Client.Update(s.t.Context(), o)
	}).Should(gomega.Succeed())
}

// image pushes an image for an artifact of a manifest, name:version.
func (s *scene) image(manifest, artifact, seed string) ocispec.Descriptor {
	s.t.Helper()
	n, v, _ := strings.Cut(artifact, ":")
	d, err := registrytest.PushImage(s.t.Context(), s.inside.Host, repository(manifest, n), v, seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func repository(manifest, artifact string) string { return "acme/" + manifest + "/" + artifact }

// at returns the digest to which a reference resolves, or "" if it does not
// exist. It asks the registry directly, without its recording and faults.
func (s *scene) at(repository, reference string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodHead, "/v2/"+repository+"/manifests/"+reference, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", strings.Join([]string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}, ","))
	return behind(s.inside, req)
}

// condition returns the status and reason of a condition as
// Status/Reason, or "" if the object or the condition does not exist.
func (s *scene) condition(o client.Object, kind string) string {
	c := s.find(o, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func (s *scene) find(o client.Object, kind string) *metav1.Condition {
	s.t.Helper()
	if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		if !apierrors.IsNotFound(err) {
			s.t.Fatal(err)
		}
		return nil
	}
	return apimeta.FindStatusCondition(v1alpha1.ConditionsOf(o), kind)
}

// eventually waits until the condition has the status and reason want. If it times out, it prints the object's conditions.
func (s *scene) eventually(o client.Object, kind, want string) {
	s.t.Helper()
	s.Eventually(func() string { return s.condition(o, kind) }).Should(gomega.Equal(want), func() string {
		return fmt.Sprintf("%T %s should have %s=%s; it has %+v", o, o.GetName(), kind, want, v1alpha1.ConditionsOf(o))
	})
}

// goes waits until objects are gone.
func (s *scene) goes(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		s.Eventually(func() bool {
			return apierrors.IsNotFound(env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o))
		}).Should(gomega.BeTrue(), func() string {
			return fmt.Sprintf("%T %s should be gone; it has %+v", o, o.GetName(), v1alpha1.ConditionsOf(o))
		})
	}
}

// says waits until the condition has the status and reason want, and checks that its message contains the parts.
func (s *scene) says(o client.Object, kind, want string, parts ...string) {
	s.t.Helper()
	s.eventually(o, kind, want)
	c := apimeta.FindStatusCondition(v1alpha1.ConditionsOf(o), kind)
	for _, part := range parts {
		s.Expect(c.Message).To(gomega.ContainSubstring(part), "%s of %T %s", kind, o, o.GetName())
	}
}

// contents returns every tag in the registry with its digest, without the registry's recording and faults.
func (s *scene) contents() map[string]string {
	s.t.Helper()
	var catalog struct{ Repositories []string }
	s.ask("/v2/_catalog", &catalog)
	out := map[string]string{}
	for _, repository := range catalog.Repositories {
		var list struct{ Tags []string }
		s.ask("/v2/"+repository+"/tags/list", &list)
		for _, tag := range list.Tags {
			out[repository+":"+tag] = s.at(repository, tag)
		}
	}
	return out
}

// ask reads a JSON document from the registry. If it does not exist, into is not changed.
func (s *scene) ask(path string, into any) {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.inside.App.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code == http.StatusNotFound {
		return
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		s.t.Fatalf("reading %s: %v", path, err)
	}
}

// gone reports whether an object does not exist.
func (s *scene) gone(o client.Object) bool {
	return apierrors.IsNotFound(env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o))
}

// tombstones lists the tombstones of the scene.
func (s *scene) tombstones() []v1alpha1.Tombstone {
	s.t.Helper()
	var l v1alpha1.TombstoneList
	if err := env.Client.List(s.t.Context(), &l, client.InNamespace(s.ns)); err != nil {
		s.t.Fatal(err)
	}
	return l.Items
}
