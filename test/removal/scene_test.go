package removal

import (
	"bytes"
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/removal"
	"github.com/nfo-operator/nfo/test/environment"
)

var env *environment.Environment

func TestMain(m *testing.M) {
	flag.Parse()
	code := environment.Main(m, &env)
	if code == 0 && flag.Lookup("test.run").Value.String() == "" { // all tests have run
		if err := env.LeastPrivilege(environment.RemoverUser); err != nil {
			log.Print(err)
			code = 1
		}
	}
	os.Exit(code)
}

const (
	// patience is how long anything that happens without further action may take.
	patience = time.Minute
	// foreign is the finalizer of another program.
	foreign = "example.com/backup"
	image   = "registry.example.com/nfo:test"
)

// scene is a cluster with one publisher, which has a namespace and a registry.
type scene struct {
	*gomega.WithT
	t        *testing.T
	ns       string
	registry *registrytest.Registry
}

func newScene(t *testing.T) *scene {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "publisher-"}}
	if err := env.Client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	g := gomega.NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	g.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	s := &scene{WithT: g, t: t, ns: ns.Name, registry: registrytest.Start(t)}
	t.Cleanup(s.clear)
	return s
}

// kinds returns a list of every kind that tests leave behind, webhooks first.
func kinds() []client.ObjectList {
	return []client.ObjectList{
		&admissionregistrationv1.MutatingWebhookConfigurationList{}, &admissionregistrationv1.ValidatingWebhookConfigurationList{},
		&v1alpha1.SiteNetworkServiceList{}, &v1alpha1.NetworkServiceDesignVersionList{}, &v1alpha1.NetworkFunctionDefinitionVersionList{},
		&v1alpha1.ArtifactManifestList{}, &v1alpha1.ArtifactStoreList{}, &v1alpha1.TombstoneList{},
		&batchv1.CronJobList{}, &batchv1.JobList{}, &appsv1.DeploymentList{},
	}
}

// every calls do for each object of these kinds in the cluster.
func (s *scene) every(ctx context.Context, do func(client.Object)) {
	s.t.Helper()
	for _, list := range kinds() {
		if err := env.Client.List(ctx, list); err != nil {
			s.t.Error(err)
		}
		_ = apimeta.EachListItem(list, func(o runtime.Object) error {
			do(o.(client.Object))
			return nil
		})
	}
}

// clear deletes all these objects, whatever their finalizers, and all pods, so that the next test finds none.
func (s *scene) clear() {
	ctx := context.WithoutCancel(s.t.Context())
	none := []byte(`{"metadata":{"finalizers":null}}`)
	s.every(ctx, func(o client.Object) {
		err := env.Client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			s.t.Error(err)
		}
		if err := client.IgnoreNotFound(env.Client.Patch(ctx, o, client.RawPatch("application/merge-patch+json", none))); err != nil {
			s.t.Error(err)
		}
	})
	for _, ns := range []string{s.ns, v1alpha1.ManagerNamespace} {
		s.Eventually(func() []corev1.Pod {
			s.endPods(ctx, ns)
			return s.pods(ctx, ns)
		}).Should(gomega.BeEmpty())
	}
}

func (s *scene) pods(ctx context.Context, namespace string) []corev1.Pod {
	s.t.Helper()
	var all corev1.PodList
	if err := env.Client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		s.t.Fatal(err)
	}
	return all.Items
}

// endPods does what a node does when the containers of a pod that is
// being deleted have ended. It ignores pods that are not being deleted.
func (s *scene) endPods(ctx context.Context, namespace string) {
	s.t.Helper()
	for _, p := range s.pods(ctx, namespace) {
		if p.DeletionTimestamp.IsZero() {
			continue
		}
		if err := client.IgnoreNotFound(env.Client.Delete(ctx, &p, client.GracePeriodSeconds(0))); err != nil {
			s.t.Error(err)
		}
	}
}

// bind assigns the pods of a namespace to a node. From then on the API server
// deletes them only after the node, here endPods, confirms that they have ended.
func (s *scene) bind(namespace string) {
	s.t.Helper()
	s.Eventually(func() int { return len(s.pods(s.t.Context(), namespace)) }).Should(gomega.BeNumerically(">", 0))
	for _, p := range s.pods(s.t.Context(), namespace) {
		to := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "edge-7"}}
		if err := env.Client.SubResource("binding").Create(s.t.Context(), &p, to); err != nil {
			s.t.Fatal(err)
		}
	}
}

// remover is the configuration of a removal in a test.
type remover struct {
	removal.Config
	user string
	ctx  context.Context
	// through wraps the transport to the API server.
	through environment.Transport
	// on has functions by text. Each is called once, when the removal prints a line that contains the text.
	on map[string]func()
}

// remove runs `nfo remove` and returns its output.
func (s *scene) remove(change ...func(*remover)) (string, error) {
	s.t.Helper()
	r := remover{user: environment.RemoverUser, ctx: s.t.Context(), on: map[string]func(){}}
	r.Namespace, r.Timeout = v1alpha1.ManagerNamespace, patience
	for _, c := range change {
		c(&r)
	}
	kube := env.Judged(r.user)
	if r.through != nil {
		kube.Wrap(func(rt http.RoundTripper) http.RoundTripper { return r.through(rt) })
	}
	c, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	said := &listener{on: r.on}
	r.Client, r.Out = c, said
	err = removal.Run(r.ctx, r.Config)
	s.t.Logf("%s%v", said.text.String(), err)
	return said.text.String(), err
}

// listener collects the output, and calls a function when a line with a certain text is written.
type listener struct {
	mu   sync.Mutex
	text bytes.Buffer
	on   map[string]func()
}

func (l *listener) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for text, do := range l.on {
		if strings.Contains(string(line), text) {
			delete(l.on, text)
			do()
		}
	}
	return l.text.Write(line)
}

// deploy creates the manager's Deployment. Its pod is not assigned to a node.
func (s *scene) deploy() {
	s.t.Helper()
	if err := env.Apply(s.t.Context(), filepath.Join(environment.Root(), "config/manager/deployment.yaml"), ""); err != nil {
		s.t.Fatal(err)
	}
}

// unserved installs the product's webhooks without a server, and waits until the API
// server calls them. Their Service leads to a port of this host at which nothing listens.
func (s *scene) unserved() {
	s.t.Helper()
	away := func(u *unstructured.Unstructured) {
		if u.GetKind() == "Service" {
			u.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
			return
		}
		hooks, _, _ := unstructured.NestedSlice(u.Object, "webhooks")
		for _, h := range hooks {
			_ = unstructured.SetNestedField(h.(map[string]any), int64(1), "clientConfig", "service", "port")
		}
		_ = unstructured.SetNestedSlice(u.Object, hooks, "webhooks")
	}
	for _, file := range []string{"config/webhook/webhook.yaml", "config/webhook/pods.yaml"} {
		if err := env.Apply(s.t.Context(), filepath.Join(environment.Root(), file), "", away); err != nil {
			s.t.Fatal(err)
		}
	}
	s.Eventually(func() string {
		err := env.Client.Create(s.t.Context(), s.store("probe"), client.DryRunAll)
		if err == nil {
			return ""
		}
		return err.Error()
	}).Should(gomega.And(gomega.ContainSubstring("failed calling webhook"), gomega.ContainSubstring("connection refused")))
}

func (s *scene) meta(name string, finalizers ...string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.ns, Name: name, Finalizers: finalizers}
}

func (s *scene) store(name string, finalizers ...string) *v1alpha1.ArtifactStore {
	o := &v1alpha1.ArtifactStore{ObjectMeta: s.meta(name, finalizers...)}
	o.Spec.Registry.URL = s.registry.URL("acme")
	o.Spec.Purge.GracePeriod = metav1.Duration{Duration: time.Hour}
	return o
}

// manifest lists the artifact a:1 in the store "acme".
func (s *scene) manifest(name string, finalizers ...string) *v1alpha1.ArtifactManifest {
	o := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta(name, finalizers...)}
	o.Spec.ArtifactStoreRef.Name = "acme"
	o.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "a", ArtifactVersion: "1"}}
	return o
}

// definition returns a definition that references a manifest.
func (s *scene) definition(name, manifest string, finalizers ...string) *v1alpha1.NetworkFunctionDefinitionVersion {
	o := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta(name, finalizers...)}
	o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
		Name: "app",
		ArtifactProfile: v1alpha1.HelmApplicationProfile{
			ArtifactSource:      v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: manifest}},
			HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: "a", HelmPackageVersionRange: "1"},
		},
	}}
	return o
}

func (s *scene) site(name string, finalizers ...string) *v1alpha1.SiteNetworkService {
	o := &v1alpha1.SiteNetworkService{ObjectMeta: s.meta(name, finalizers...)}
	o.Spec.NetworkServiceDesignVersionRef = v1alpha1.DesignReference{Name: "nsdv"}
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

func (s *scene) delete(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		if err := env.Client.Delete(s.t.Context(), o); err != nil {
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

// finalizers returns the current finalizers of an object, or nil if it does not exist.
func (s *scene) finalizers(o client.Object) []string {
	s.t.Helper()
	if !s.read(o) {
		return nil
	}
	return o.GetFinalizers()
}

// condition returns the status and reason of a condition as Status/Reason.
func (s *scene) condition(o client.Object, all *[]metav1.Condition, kind string) string {
	s.t.Helper()
	if !s.read(o) {
		return ""
	}
	c := apimeta.FindStatusCondition(*all, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

// purgeObjects creates the objects that the manager makes for a store's purge, and the Role that an earlier version made.
func (s *scene) purgeObjects(store *v1alpha1.ArtifactStore) {
	s.t.Helper()
	all := cronjob.Objects(store, cronjob.Settings{Image: image, Resources: cronjob.DefaultResources()})
	role := &rbacv1.Role{ObjectMeta: s.meta(cronjob.ObjectName(store.Name))}
	role.Labels, role.OwnerReferences = all[0].GetLabels(), all[0].GetOwnerReferences()
	s.create(append(all, role)...)
}

// runs starts the purge of a store manually, as `kubectl create job --from` does.
func (s *scene) runs(store string) *batchv1.Job {
	s.t.Helper()
	c := &batchv1.CronJob{ObjectMeta: s.meta(cronjob.ObjectName(store))}
	s.Expect(s.read(c)).To(gomega.BeTrue())
	j := &batchv1.Job{ObjectMeta: s.meta("now"), Spec: c.Spec.JobTemplate.Spec}
	j.Labels = c.Spec.JobTemplate.Labels
	j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: c.Name, UID: c.UID}}
	s.create(j)
	s.Eventually(func() int { return len(s.pods(s.t.Context(), s.ns)) }).Should(gomega.Equal(1))
	return j
}

// left returns the names of the objects with the labels of purges.
func (s *scene) left() (names []string) {
	s.t.Helper()
	for _, list := range []client.ObjectList{&batchv1.CronJobList{}, &batchv1.JobList{}, &corev1.ServiceAccountList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{}} {
		if err := env.Client.List(s.t.Context(), list, client.MatchingLabels(cronjob.Labels())); err != nil {
			s.t.Fatal(err)
		}
		_ = apimeta.EachListItem(list, func(o runtime.Object) error {
			names = append(names, o.(client.Object).GetName())
			return nil
		})
	}
	return names
}

// forget deletes objects that the next test must not find.
func (s *scene) forget(objects ...client.Object) {
	for _, o := range objects {
		if err := client.IgnoreNotFound(env.Client.Delete(context.WithoutCancel(s.t.Context()), o)); err != nil {
			s.t.Error(err)
		}
	}
}

// reinstall applies the CRDs again and waits until they are served.
func (s *scene) reinstall() {
	ctx := context.WithoutCancel(s.t.Context())
	files, err := filepath.Glob(filepath.Join(environment.Root(), "config/crd/nfo.dev_*.yaml"))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	for _, f := range files {
		s.Expect(env.Apply(ctx, f, "")).To(gomega.Succeed())
	}
	for _, list := range kinds() {
		s.Eventually(func() error { return env.Client.List(ctx, list) }).Should(gomega.Succeed())
	}
}
