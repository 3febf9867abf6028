package passtest

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/crashtest"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// Created is the creation time of the objects that a World begins with.
var Created = metav1.Unix(1_000_000, 0)

// World is a real registry and a fake API server whose writes fail from a
// crash on. It has the namespace ns with the store acme, which is Ready.
type World struct {
	*registrytest.Registry
	Crash  *crashtest.Crash
	API    client.Client
	Clock  *clocktesting.FakePassiveClock
	Events *events.FakeRecorder
	Store  *v1alpha1.ArtifactStore
}

// NewWorld makes a World. It applies change to the store before it creates the store.
func NewWorld(t *testing.T, change ...func(*v1alpha1.ArtifactStore)) *World {
	t.Helper()
	w := &World{
		Registry: registrytest.Start(t), Crash: crashtest.NewCrash(), Clock: clocktesting.NewFakePassiveClock(time.Now()), Events: events.NewFakeRecorder(1000),
	}
	w.Store = &v1alpha1.ArtifactStore{ObjectMeta: Meta("acme")}
	w.Store.UID, w.Store.Finalizers = "uid-of-acme", []string{v1alpha1.Finalizer}
	w.Store.Spec.Registry.URL = "http://" + w.Host + "/acme"
	w.Store.Spec.Purge.GracePeriod.Duration = time.Hour
	w.Store.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, LastTransitionTime: Created}}
	w.Store.Status.FirstReadyTime = &Created
	for _, c := range change {
		c(w.Store)
	}
	w.Intercept(w.Crash.Refuse)
	all := append(referencetest.Definitions(Created.Time), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}, w.Store)
	w.API = w.cluster(t, all)
	return w
}

// Meta returns the metadata of an object of the namespace ns that was created at Created.
func Meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "ns", Name: name, Generation: 1, CreationTimestamp: Created}
}

// cluster makes a fake API server whose writes fail from the crash on.
func (w *World) cluster(t *testing.T, objects []client.Object) client.Client {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(
		&v1alpha1.ArtifactStore{}, &v1alpha1.ArtifactManifest{}, &v1alpha1.NetworkFunctionDefinitionVersion{}, &v1alpha1.NetworkServiceDesignVersion{},
		&v1alpha1.SiteNetworkService{}, &v1alpha1.Tombstone{}, &v1alpha1.Artifact{})
	if err := wake.Index(t.Context(), referencetest.Indexer{To: b}); err != nil {
		t.Fatal(err)
	}
	b.WithIndex(&v1alpha1.ArtifactManifest{}, "spec.uploadPath", func(o client.Object) []string { // a selectable field
		m, _ := o.(*v1alpha1.ArtifactManifest)
		return []string{string(m.Spec.UploadPath)}
	})
	return b.WithInterceptorFuncs(w.Crash.Funcs()).Build()
}

// Finder makes the Finder of a process that has just started.
func (w *World) Finder() *reference.Finder { return reference.NewFinder(w.API, w.API, time.Now) }

// Registries makes the Registries of a process that has just started.
func (w *World) Registries() *backend.Registries {
	return backend.NewRegistries(w.API, nil, w.Speeds(), time.Nanosecond, registry.AddressesOf(true), registry.ClusterRegistry{})
}

// Speeds makes a record in which no registry is slow.
func (w *World) Speeds() *lane.Speeds { return lane.NewSpeeds(w.Clock) }

// Later moves the clock until everything is due.
func (w *World) Later() { w.Clock.SetTime(w.Clock.Now().Add(25 * time.Hour)) }

// Tombstones returns all tombstones.
func (w *World) Tombstones(t *testing.T) []v1alpha1.Tombstone {
	t.Helper()
	var all v1alpha1.TombstoneList
	if err := w.API.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// At returns the digest of a tag or digest; "" if it is missing.
func (w *World) At(t *testing.T, repository, reference string) string {
	t.Helper()
	d, err := registrytest.TagDigest(t.Context(), w.Host, repository, reference)
	if err != nil {
		return ""
	}
	return d.String()
}
