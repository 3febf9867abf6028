package workload

import (
	"context"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

const release = "HelmRelease.helm.toolkit.fluxcd.io"

// aManifest returns a manifest that objects hold, by its status.
func aManifest(name string, deleting bool, held ...v1alpha1.Dependent) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: name}}
	if deleting {
		m.Finalizers, m.DeletionTimestamp = []string{v1alpha1.Finalizer}, new(metav1.Now())
	}
	m.Status.Dependents.Dependents = held
	m.Status.DependentCount = new(int32(len(held)))
	return m
}

// indexes adds indexes to a fake client.
type indexes struct{ of *fake.ClientBuilder }

// IndexField adds an index.
func (i indexes) IndexField(_ context.Context, o client.Object, field string, by client.IndexerFunc) error {
	i.of.WithIndex(o, field, by)
	return nil
}

func TestWhatWaitsForARelease(t *testing.T) {
	t.Parallel()
	by := func(kind, namespace, name string) v1alpha1.Dependent {
		return v1alpha1.Dependent{Kind: kind, Namespace: namespace, Name: name}
	}
	many := aManifest("many", true, by("Deployment", "ran", "a"))
	*many.Status.DependentCount = 17
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{
		aManifest("waits", true, by("Deployment", "ran", "a"), by(release, "ran", "upf")),
		aManifest("live", false, by(release, "ran", "upf")),
		aManifest("other", true, by(release, "ran", "smf")),
		aManifest("elsewhere", true, by(release, "core", "upf")),
		aManifest("helm", true, by("HelmRelease", "ran", "upf")),
		many,
	}
	woken := make(chan event.GenericEvent, len(objects))
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
	if err := Index(t.Context(), indexes{kube}); err != nil {
		t.Fatal(err)
	}
	w := &Watches{Client: kube.Build(), Wake: woken}
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}}
	for title, seen := range map[string]any{"changed": o, "gone": o, "gone unseen": toolscache.DeletedFinalStateUnknown{Key: "ran/upf", Obj: o}} {
		w.changed(t.Context(), release, seen)
		var names []string
		for range 2 {
			select {
			case e := <-woken:
				names = append(names, e.Object.GetName())
			case <-time.After(time.Second):
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"many", "waits"}) || len(woken) > 0 {
			t.Errorf("%s wakes %v and %d more", title, names, len(woken))
		}
	}
	w.changed(t.Context(), release, "what is not an object")
	if len(woken) > 0 {
		t.Error("something else wakes")
	}
}
