package release

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/crashtest"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// world is a real registry and a fake API server, with one manifest whose artifacts are in the registry.
type world struct {
	*registrytest.Registry
	t        *testing.T
	crash    *crashtest.Crash
	api      client.Client
	manifest *v1alpha1.ArtifactManifest
	location v1alpha1.RegistryLocation
	digests  map[string]string // by artifact name
}

func newWorld(t *testing.T, artifacts ...string) *world {
	t.Helper()
	w := &world{Registry: registrytest.Start(t), t: t, crash: crashtest.NewCrash(), digests: map[string]string{}}
	created := metav1.NewTime(time.Now().Add(-48 * time.Hour))
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-of-" + name), Generation: 2, CreationTimestamp: created}
	}
	store := &v1alpha1.ArtifactStore{ObjectMeta: meta("acme")}
	store.Spec.Registry.URL = "http://" + w.Host + "/acme"
	store.Spec.Purge.GracePeriod.Duration = time.Hour
	store.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, LastTransitionTime: created}}
	store.Status.FirstReadyTime = &created
	m := &v1alpha1.ArtifactManifest{ObjectMeta: meta("m")}
	m.Finalizers, m.DeletionTimestamp = []string{v1alpha1.Finalizer}, new(metav1.Now())
	m.Spec = v1alpha1.ArtifactManifestSpec{ArtifactStoreRef: v1alpha1.LocalReference{Name: "acme"}, UploadPath: v1alpha1.ManifestScoped}
	for _, name := range artifacts {
		d, err := registrytest.PushImage(t.Context(), w.Host, "acme/m/"+name, "1", name)
		if err != nil {
			t.Fatal(err)
		}
		w.digests[name] = d.Digest.String()
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: name, ArtifactVersion: "1"})
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
			ArtifactName: name, ArtifactVersion: "1", Repository: "acme/m/" + name, Digest: d.Digest.String(), MediaType: d.MediaType, Size: d.Size, State: v1alpha1.ArtifactPresent,
		})
	}
	w.manifest = m
	var err error
	if w.location, err = store.Location(); err != nil {
		t.Fatal(err)
	}
	w.Intercept(w.crash.Refuse)
	w.api = w.cluster(append(referencetest.Definitions(created.Time), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}, store, m))
	return w
}

// cluster is a fake API server whose writes fail after the crash.
func (w *world) cluster(objects []client.Object) client.Client {
	w.t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		w.t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.ArtifactStore{}, &v1alpha1.ArtifactManifest{}, &v1alpha1.Tombstone{})
	if err := reference.Index(w.t.Context(), referencetest.Indexer{To: b}); err != nil {
		w.t.Fatal(err)
	}
	b.WithIndex(&v1alpha1.ArtifactManifest{}, "spec.uploadPath", func(o client.Object) []string { // a selectable field
		m, _ := o.(*v1alpha1.ArtifactManifest)
		return []string{string(m.Spec.UploadPath)}
	})
	b.WithIndex(&v1alpha1.Tombstone{}, tombstone.ByManifest, func(o client.Object) []string {
		t, _ := o.(*v1alpha1.Tombstone)
		return []string{t.Spec.Manifest.Name}
	})
	return b.WithInterceptorFuncs(w.crash.Funcs()).Build()
}

// releaser returns a Releaser as after a start of the manager.
func (w *world) releaser() *Releaser {
	clock := testingclock.NewFakePassiveClock(time.Now())
	open := backend.NewRegistries(w.api, nil, lane.NewSpeeds(clock), time.Nanosecond, registry.AddressesOf(true), registry.ClusterRegistry{})
	return &Releaser{API: w.api, Live: w.api, Holders: reference.NewFinder(w.api, w.api, time.Now), Open: open.Open, Purges: NewPurges(clock), Clock: clock, Now: time.Now}
}

func (w *world) task() Task {
	return Task{Manifest: w.manifest, Location: w.location, Entries: inventory.Entries(w.manifest, w.location), Cause: v1alpha1.CauseReleased}
}

func (w *world) tombstones() []v1alpha1.Tombstone {
	w.t.Helper()
	var all v1alpha1.TombstoneList
	if err := w.api.List(w.t.Context(), &all); err != nil {
		w.t.Fatal(err)
	}
	return all.Items
}

// at returns the digest of a tag or digest of an artifact, or "" if it does not exist.
func (w *world) at(name, reference string) string {
	w.t.Helper()
	d, err := registrytest.TagDigest(w.t.Context(), w.Host, "acme/m/"+name, reference)
	if err != nil {
		return ""
	}
	return d.String()
}

// whole fails the test unless each digest is in the registry and each digest without a tag is in a tombstone.
func (w *world) whole(when string) {
	w.t.Helper()
	for name, d := range w.digests {
		if w.at(name, d) != d {
			w.t.Errorf("%s: the digest of %s is gone", when, name)
		}
		recorded := false
		for _, t := range w.tombstones() {
			for _, a := range t.Spec.Artifacts {
				recorded = recorded || a.Repository == "acme/m/"+name && tombstone.RestoredDigest(a) == d
			}
		}
		if w.at(name, "1") == "" && !recorded {
			w.t.Errorf("%s: the tag of %s is gone, and in no tombstone", when, name)
		}
	}
}
