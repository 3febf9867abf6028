package wake

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
)

// cached makes a cache with objects, which counts the lists that it has answered.
func cached(t *testing.T, there ...client.Object) (r client.WithWatch, lists *int) {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	build := fake.NewClientBuilder().WithScheme(scheme)
	for _, each := range there {
		build.WithObjects(each.DeepCopyObject().(client.Object)) //nolint:forcetypeassert // A copy is of its object's type.
	}
	if err := Index(t.Context(), referencetest.Indexer{To: build}); err != nil {
		t.Fatal(err)
	}
	lists = new(int)
	return interceptor.NewClient(build.Build(), interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
		*lists++
		return c.List(ctx, l, opts...)
	}}), lists
}

func newQueue() workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
}

// taken returns the requests in a queue, sorted.
func taken(queue workqueue.TypedRateLimitingInterface[reconcile.Request]) (names []string) {
	for queue.Len() > 0 {
		request, _ := queue.Get()
		names = append(names, request.String())
		queue.Done(request)
	}
	slices.Sort(names)
	return names
}

// wakes returns the requests that an event makes, sorted, and how many lists it needs.
func wakes(t *testing.T, of func(client.Reader) handler.EventHandler, o client.Object, there ...client.Object) (names []string, lists int) {
	t.Helper()
	reader, n := cached(t, there...)
	queue := newQueue()
	of(reader).Create(t.Context(), event.CreateEvent{Object: o}, queue)
	return taken(queue), *n
}

func at(namespace, name, url string) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name)}}
	s.Spec.Registry.URL = url
	return s
}

func TestEventsWakeWhomTheyConcern(t *testing.T) {
	t.Parallel()
	stores := []client.Object{
		at("ns", "same", "https://r.example.com/acme"), at("other", "below", "http://R.example.com:80/acme/x"), at("other", "same", "https://r.example.com/acme"),
		at("ns", "beside", "https://r.example.com/acme2"), at("ns", "elsewhere", "https://s.example.com/acme"), at("ns", "broken", "ftp://"),
	}
	grave := &v1alpha1.Tombstone{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "t"}, Spec: v1alpha1.TombstoneSpec{RegistryURL: "https://r.example.com/acme"}}
	manifest := func(name, store, listed, recorded string) client.Object {
		m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
		m.Spec.ArtifactStoreRef.Name = store
		m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: listed, ArtifactVersion: "1"}}
		m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: recorded, ArtifactVersion: "1"}}
		return m
	}
	manifests := []client.Object{manifest("lists", "acme", "a", ""), manifest("listed", "acme", "z", "b"), manifest("neither", "acme", "z", "y"), manifest("abroad", "other", "a", "a")}
	old := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d"}}
	for _, artifact := range []string{"a", "b", "a", "c"} {
		app := v1alpha1.NetworkFunctionApplication{Name: "app"}
		app.ArtifactProfile.ArtifactStoreRef = &v1alpha1.LocalReference{Name: "acme"}
		app.ArtifactProfile.HelmArtifactProfile.HelmPackageName = artifact
		old.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = append(old.Spec.NetworkFunctionTemplate.NetworkFunctionApplications, app)
	}
	for name, tc := range map[string]struct {
		reason  string
		handler func(client.Reader) handler.EventHandler
		of      client.Object
		there   []client.Object
		want    []string
		lists   int
	}{
		"Store":     {"the stores that overlap, in the whole cluster", Overlapping, at("ns", "same", "https://r.example.com/acme"), stores, []string{"other/below", "other/same"}, 1},
		"NoStore":   {"its URL leads nowhere", Overlapping, at("ns", "new", "ftp://"), stores, nil, 0},
		"Tombstone": {"the stores of its namespace and place", StoresAt, grave, stores, []string{"ns/same"}, 1},
		"OldForm":   {"the store's manifests that list an artifact, or did, from one list", func(r client.Reader) handler.EventHandler { return NewByStore(r).Handler() }, old, manifests, []string{"ns/listed", "ns/lists"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, lists := wakes(t, tc.handler, tc.of, tc.there...)
			if diff := cmp.Diff(tc.want, got); diff != "" || lists != tc.lists {
				t.Errorf("%s: %d lists, want %d; -want +got\n%s", tc.reason, lists, tc.lists, diff)
			}
		})
	}
}

// An event must wake the objects that it concerns, and no others: a
// tenant with many objects must not keep others waiting for their turn.
func TestEventsWakeHoldersAndWhatTheyHold(t *testing.T) {
	t.Parallel()
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "ns", Name: name} }
	definition := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: meta("d")}
	definition.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = make([]v1alpha1.NetworkFunctionApplication, 1)
	definition.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: "m"}
	manifest := &v1alpha1.ArtifactManifest{ObjectMeta: meta("m")}
	manifest.Spec.ArtifactStoreRef.Name = "acme"
	manifest.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "lib/upf", ArtifactVersion: "1"}}
	needs := func(name, image string, state v1alpha1.ImageState) *v1alpha1.ArtifactManifest {
		m := &v1alpha1.ArtifactManifest{ObjectMeta: meta(name)}
		m.Spec.ArtifactStoreRef.Name = "acme"
		m.Status.Charts = []v1alpha1.ChartStatus{{Images: []v1alpha1.ChartImage{{Image: image, State: state}}}}
		return m
	}
	going := at("ns", "going", "https://r.example.com/going")
	going.Finalizers, going.DeletionTimestamp = []string{v1alpha1.Finalizer}, &metav1.Time{Time: metav1.Unix(1, 0).Time}
	resolved := func(namespace, name, url, address string) *v1alpha1.ArtifactStore {
		s := at(namespace, name, url)
		s.Status.Addresses = []string{address}
		return s
	}
	mine := resolved("ns", "acme", "https://r.example.com/acme", "192.0.2.1:443")
	theirs := []client.Object{
		mine, resolved("b", "alias", "https://s.example.com/acme", "192.0.2.1:443"), resolved("b", "same", "https://r.example.com/x", "192.0.2.1:443"), resolved("b", "else", "https://t.example.com", "192.0.2.2:443"),
	}
	job := &batchv1.Job{ObjectMeta: meta("acme-purge-1")}
	job.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: cronjob.ObjectName("acme"), Controller: new(true)}}
	crd := func(name string) client.Object {
		o := reference.BlankDefinition()
		o.SetName(name)
		return o
	}
	stores := func(r client.Reader) handler.EventHandler {
		return Definitions(r, func() client.ObjectList { return &v1alpha1.ArtifactStoreList{} })
	}
	definitions := func(r client.Reader) handler.EventHandler {
		return HoldersOf(r, func() client.ObjectList { return &v1alpha1.NetworkFunctionDefinitionVersionList{} })
	}
	subjects := func(kind string) func(client.Reader) handler.EventHandler {
		return func(client.Reader) handler.EventHandler { return Subjects(kind) }
	}
	needing := func(r client.Reader) handler.EventHandler {
		return Needing(r, func(store reference.Object, names map[string]bool) {
			if store.Name != "acme" || !names["upf"] {
				t.Errorf("changed in %s were %v", store, names)
			}
		})
	}
	mirror := func(r client.Reader) handler.EventHandler { return Artifacts(r, client.ObjectKeyFromObject(mine)) }
	copies := []client.Object{&v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}}, &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "core", Name: "amf"}}}
	for name, tc := range map[string]struct {
		reason  string
		handler func(client.Reader) handler.EventHandler
		of      client.Object
		there   []client.Object
		want    []string
	}{
		"Subjects":     {"what a definition holds", subjects(v1alpha1.KindArtifactManifest), definition, nil, []string{"ns/m"}},
		"SubjectsKind": {"of this kind", subjects(v1alpha1.KindArtifactStore), definition, nil, nil},
		"Holders":      {"the definitions that name a manifest", definitions, manifest, []client.Object{definition, &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: meta("other")}}, []string{"ns/d"}},
		"Definitions":  {"the stores that wait for a kind", stores, crd("artifactmanifests.nfo.dev"), []client.Object{going, mine}, []string{"ns/going"}},
		"OtherKind":    {"a kind of somebody else's", stores, crd("others.example.com"), []client.Object{going}, nil},
		"Job":          {"the store of a purge's Job", func(client.Reader) handler.EventHandler { return StoreOfJob() }, job, nil, []string{"ns/acme"}},
		"OtherJob":     {"a Job of somebody else's", func(client.Reader) handler.EventHandler { return StoreOfJob() }, &batchv1.Job{ObjectMeta: meta("x")}, nil, nil},
		"Sharing":      {"who may be in the same registry under another name", StoresSharing, mine, theirs, []string{"b/alias"}},
		"SharingByM":   {"because of a manifest", StoresSharing, manifest, theirs, []string{"b/alias"}},
		"SharingNot":   {"where the registry's addresses are not known", StoresSharing, at("ns", "new", "https://r.example.com/new"), theirs, nil},
		"Needing": {"whose charts need an image of that name elsewhere", needing, manifest, []client.Object{
			needs("lacks", "acme/x/upf:1", v1alpha1.ImageMissing), needs("has", "acme/has/upf:1", v1alpha1.ImageInManifest), needs("other", "acme/x/amf:1", v1alpha1.ImageMissing), needs("m", "acme/m/upf:1", v1alpha1.ImageMissing),
		}, []string{"ns/lacks"}},
		"NotAManifest":  {"nothing else lists images", needing, mine, nil, nil},
		"Mirror":        {"all copies, when the mirror's store changes", mirror, mine, copies, []string{"core/amf", "ran/upf"}},
		"NotTheMirror":  {"another store does not concern them", mirror, going, copies, nil},
		"NotAStore":     {"only stores overlap", Overlapping, manifest, nil, nil},
		"NotATombstone": {"only tombstones are counted", StoresAt, manifest, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := wakes(t, tc.handler, tc.of, tc.there...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// PurgeHealthy repeats what is recorded of a purge, and that
// record is extended when the purge has waited for a collection.
func TestPurgesWakeTheirStore(t *testing.T) {
	t.Parallel()
	ended := func(change func(*v1alpha1.PurgeRun)) *v1alpha1.ArtifactStore {
		s := at("ns", "acme", "https://r.example.com/acme")
		s.Status.LastPurge = &v1alpha1.PurgeRun{CompletionTime: metav1.Unix(1_700_000_000, 0), Outcome: v1alpha1.PurgeSucceeded, Message: "The registry was asked to collect."}
		change(s.Status.LastPurge)
		return s
	}
	same := func(*v1alpha1.PurgeRun) {}
	for name, tc := range map[string]struct {
		reason  string
		was, is *v1alpha1.ArtifactStore
		want    bool
	}{
		"First":   {"there was none", at("ns", "acme", "https://r.example.com/acme"), ended(same), true},
		"Same":    {"conditions change often", ended(same), ended(same), false},
		"Another": {"another one has ended", ended(same), ended(func(r *v1alpha1.PurgeRun) { r.CompletionTime = metav1.Unix(1_700_000_001, 0) }), true},
		"Freed":   {"the disk has been freed", ended(same), ended(func(r *v1alpha1.PurgeRun) { r.FreedBytes = new(int64(1)) }), true},
		"Message": {"or has not", ended(same), ended(func(r *v1alpha1.PurgeRun) { r.Message = "The disk may not be freed yet." }), true},
		"Equal":   {"what is equal is not the same pointer", ended(func(r *v1alpha1.PurgeRun) { r.FreedBytes = new(int64(1)) }), ended(func(r *v1alpha1.PurgeRun) { r.FreedBytes = new(int64(1)) }), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := LifeOrPurge().Update(event.UpdateEvent{ObjectOld: tc.was, ObjectNew: tc.is}); got != tc.want {
				t.Errorf("%s: it wakes: %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}
