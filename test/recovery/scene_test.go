package recovery

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

var env *environment.Environment

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests spend most of their time waiting.
	if err := flag.Set("test.parallel", "8"); err != nil {
		log.Fatal(err)
	}
	os.Exit(environment.Main(m, &env))
}

// patience is how long anything that happens without further action may take.
const patience = time.Minute

// scene is a namespace and a registry of one test.
type scene struct {
	*gomega.WithT
	t        *testing.T
	ns       string
	registry *registrytest.Registry
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return sceneAt(t, registrytest.Start(t))
}

func sceneAt(t *testing.T, r *registrytest.Registry) *scene {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "publisher-"}}
	if err := env.Client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	g := gomega.NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	g.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	s := &scene{WithT: g, t: t, ns: ns.Name, registry: r}
	t.Cleanup(s.clear)
	return s
}

// manage starts a manager for the scene's namespace.
func (s *scene) manage(change ...func(*environment.ManagerOptions)) *environment.Manager {
	s.t.Helper()
	o := environment.ManagerOptions{Namespaces: []string{s.ns}, PurgerImage: "registry.example.com/nfo:test"}
	for _, c := range change {
		c(&o)
	}
	return env.StartManager(s.t, o)
}

// clear deletes every object of the scene, whatever its finalizers.
func (s *scene) clear() {
	ctx := context.WithoutCancel(s.t.Context())
	for _, kind := range v1alpha1.Kinds() {
		for _, o := range s.list(ctx, kind) {
			if err := s.strip(ctx, &o); err != nil {
				s.t.Error(err)
			}
		}
	}
}

// strip deletes an object and removes its finalizers.
func (s *scene) strip(ctx context.Context, o client.Object) error {
	if err := client.IgnoreNotFound(env.Client.Delete(ctx, o)); err != nil {
		return err
	}
	return client.IgnoreNotFound(env.Client.Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
}

// list returns every object of a kind, as `kubectl get -o json` prints it.
func (s *scene) list(ctx context.Context, kind string) []unstructured.Unstructured {
	s.t.Helper()
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
	s.Eventually(func() error { return env.Client.List(ctx, all, client.InNamespace(s.ns)) }).Should(gomega.Succeed())
	return all.Items
}

// names returns the names of the objects of a kind.
func (s *scene) names(kind string) (names []string) {
	s.t.Helper()
	for _, o := range s.list(s.t.Context(), kind) {
		names = append(names, o.GetName())
	}
	return names
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.ns, Name: name}
}

func (s *scene) create(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		s.Eventually(func() error { return env.Client.Create(s.t.Context(), o) }).Should(gomega.Succeed(), "creating %T %s", o, o.GetName())
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

// read reads an object from the API server and reports whether it exists.
func (s *scene) read(o client.Object) bool {
	s.t.Helper()
	err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	return !apierrors.IsNotFound(err)
}

// goes waits until objects are gone.
func (s *scene) goes(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		s.Eventually(func() bool { return s.read(o) }).Should(gomega.BeFalse(), func() string {
			return fmt.Sprintf("%T %s should be gone; it has %+v", o, o.GetName(), v1alpha1.ConditionsOf(o))
		})
	}
}

// condition returns the status and reason of a condition as
// Status/Reason, or "" if the object or the condition does not exist.
func (s *scene) condition(o client.Object, kind string) string {
	s.t.Helper()
	if !s.read(o) {
		return ""
	}
	c := apimeta.FindStatusCondition(v1alpha1.ConditionsOf(o), kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

// eventually waits until the condition has the status and reason want. If it times out, it prints the object's conditions.
func (s *scene) eventually(o client.Object, kind, want string) {
	s.t.Helper()
	s.Eventually(func() string { return s.condition(o, kind) }).Should(gomega.Equal(want), func() string {
		return fmt.Sprintf("%T %s should have %s=%s; it has %+v", o, o.GetName(), kind, want, v1alpha1.ConditionsOf(o))
	})
}

// dropDefinitions deletes the CustomResourceDefinitions of kinds, and so all their objects.
func (s *scene) dropDefinitions(kinds ...string) {
	s.t.Helper()
	for _, kind := range kinds {
		s.delete(definitionOf(kind))
	}
	for _, kind := range kinds {
		s.Eventually(func() bool { return s.read(definitionOf(kind)) }).Should(gomega.BeFalse(), "the definition of %s should go", kind)
	}
}

func definitionOf(kind string) client.Object {
	d := &unstructured.Unstructured{}
	d.SetGroupVersionKind(reference.DefinitionKind)
	d.SetName(v1alpha1.Resource(kind) + "." + v1alpha1.GroupVersion.Group)
	return d
}

// applyDefinitions applies all CustomResourceDefinitions, and waits until they are served.
func (s *scene) applyDefinitions() {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	files, err := filepath.Glob(filepath.Join(environment.Root(), "config/crd/nfo.dev_*.yaml"))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	for _, f := range files {
		s.Expect(env.Apply(ctx, f, "")).To(gomega.Succeed())
	}
	for _, kind := range v1alpha1.Kinds() {
		s.list(ctx, kind)
	}
}

// objectsAreBack annotates all CustomResourceDefinitions, as an administrator does after restoring the objects.
func (s *scene) objectsAreBack() {
	s.t.Helper()
	for _, kind := range v1alpha1.Kinds() {
		s.Eventually(func() error {
			return env.Client.Patch(s.t.Context(), definitionOf(kind), client.RawPatch("application/merge-patch+json",
				fmt.Appendf(nil, `{"metadata":{"annotations":{%q:""}}}`, v1alpha1.AnnotationObjectsRestored)))
		}).Should(gomega.Succeed())
	}
}
