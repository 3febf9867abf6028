package hostile

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

var shared *environment.Environment

func TestMain(m *testing.M) { os.Exit(environment.Main(m, &shared)) }

// lasting is how long `make hostile` lets all hostile registries attack at the same time. long is true if it is set.
var (
	lasting, _ = time.ParseDuration(os.Getenv("NFO_HOSTILE"))
	long       = lasting > 0
)

// patience is how long any step of a tenant may take while others attack. Without attacks it takes seconds.
const patience = time.Minute

// tenant is a namespace with its own registry.
type tenant struct {
	*gomega.WithT
	t        *testing.T
	ns       string
	registry *registrytest.Registry
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	if err := shared.Client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	g := gomega.NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	g.SetDefaultEventuallyPollingInterval(10 * time.Millisecond)
	return &tenant{WithT: g, t: t, ns: ns.Name, registry: registrytest.Start(t)}
}

func (n *tenant) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: n.ns, Name: name}
}

func (n *tenant) store(name, prefix string) *v1alpha1.ArtifactStore {
	return &v1alpha1.ArtifactStore{ObjectMeta: n.meta(name), Spec: v1alpha1.ArtifactStoreSpec{
		Registry: v1alpha1.RegistrySpec{URL: n.registry.URL(prefix)}, Purge: v1alpha1.PurgeSpec{GracePeriod: metav1.Duration{Duration: time.Hour}},
	}}
}

// manifest returns a manifest that lists version 1 of the artifacts in the store acme.
func (n *tenant) manifest(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: n.meta(name)}
	m.Spec.ArtifactStoreRef.Name = "acme"
	for _, a := range artifacts {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: a, ArtifactVersion: "1"})
	}
	return m
}

// definition returns a definition that deploys the chart of a manifest.
func (n *tenant) definition(name, manifest, chart string) *v1alpha1.NetworkFunctionDefinitionVersion {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: n.meta(name)}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
		Name: "app", ArtifactProfile: v1alpha1.HelmApplicationProfile{
			ArtifactSource:      v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: manifest}},
			HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: chart, HelmPackageVersionRange: "1"},
		},
	}}
	return d
}

func (n *tenant) push(manifest, artifact string) {
	n.t.Helper()
	_, err := registrytest.PushImage(n.t.Context(), n.registry.Host, "acme/"+manifest+"/"+artifact, "1", n.ns+manifest+artifact)
	n.Expect(err).NotTo(gomega.HaveOccurred())
}

func (n *tenant) create(objects ...client.Object) {
	n.t.Helper()
	for _, o := range objects {
		if err := shared.Client.Create(n.t.Context(), o); err != nil {
			n.t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
	}
}

func (n *tenant) delete(o client.Object) {
	n.t.Helper()
	n.Expect(client.IgnoreNotFound(shared.Client.Delete(n.t.Context(), o))).To(gomega.Succeed())
}

// eventually waits until the condition has the status and reason want, as Status/Reason.
func (n *tenant) eventually(o client.Object, kind, want string) {
	n.t.Helper()
	n.Eventually(func() string {
		if err := shared.Client.Get(n.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		c := apimeta.FindStatusCondition(v1alpha1.ConditionsOf(o), kind)
		if c == nil {
			return ""
		}
		return string(c.Status) + "/" + c.Reason
	}).Should(gomega.Equal(want), func() string { return fmt.Sprintf("%T %s has %+v", o, o.GetName(), v1alpha1.ConditionsOf(o)) })
}

func (n *tenant) goes(o client.Object) {
	n.t.Helper()
	n.Eventually(func() bool {
		return apierrors.IsNotFound(shared.Client.Get(n.t.Context(), client.ObjectKeyFromObject(o), o))
	}).Should(gomega.BeTrue(),
		func() string { return fmt.Sprintf("%T %s has %+v", o, o.GetName(), v1alpha1.ConditionsOf(o)) })
}

// works does what a tenant does, step by step, and returns how long each step took.
func (n *tenant) works(round int) map[string]time.Duration {
	n.t.Helper()
	took := map[string]time.Duration{}
	step := func(name string, act func()) {
		begun := time.Now()
		act()
		took[name] = time.Since(begun)
	}
	name := fmt.Sprint("good", round)
	if round == 0 {
		n.create(n.store("acme", "acme"))
	}
	other := n.store(name, fmt.Sprint("other/", round))
	step("bare write", func() { // of an object that the manager does not watch
		n.create(&corev1.ConfigMap{ObjectMeta: n.meta(name)})
	})
	step("new store", func() { n.create(other); n.eventually(other, v1alpha1.ConditionReady, "True/Ready") })
	m := n.manifest(name, "a")
	n.push(name, "a")
	step("upload", func() { n.create(m); n.eventually(m, v1alpha1.ConditionUploaded, "True/Complete") })
	step("deletion", func() { n.delete(m); n.goes(m) })
	again := n.manifest(name, "a")
	step("restore", func() { n.create(again); n.eventually(again, v1alpha1.ConditionUploaded, "True/Complete") })
	return took
}

// waits has the durations of each step in several rounds.
type waits map[string][]time.Duration

func (w waits) add(round map[string]time.Duration) {
	for name, took := range round {
		w[name] = append(w[name], took.Round(time.Millisecond))
	}
}

// usual returns the median duration of each step.
func (w waits) usual() map[string]time.Duration {
	all := map[string]time.Duration{}
	for name, took := range w {
		all[name] = slices.Sorted(slices.Values(took))[len(took)/2]
	}
	return all
}

func (w waits) slowest() map[string]time.Duration {
	all := map[string]time.Duration{}
	for name, took := range w {
		all[name] = slices.Max(took)
	}
	return all
}

// over returns, for each step, the ratio of its median duration to the one in others.
func (w waits) over(others waits) string {
	var parts []string
	alone, beside := others.usual(), w.usual()
	for _, name := range slices.Sorted(maps.Keys(w)) {
		parts = append(parts, fmt.Sprintf("%s %.1f", name, beside[name].Seconds()/alone[name].Seconds()))
	}
	return strings.Join(parts, ", ")
}

func key(o client.Object) client.ObjectKey { return client.ObjectKeyFromObject(o) }
