package wake

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// oldForm returns a version of a definition with an application for each artifact, in the old form.
func oldForm(resourceVersion string, artifacts ...string) *v1alpha1.NetworkFunctionDefinitionVersion {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d", UID: "d", ResourceVersion: resourceVersion}}
	for _, artifact := range artifacts {
		app := v1alpha1.NetworkFunctionApplication{Name: artifact}
		app.ArtifactProfile.ArtifactStoreRef = &v1alpha1.LocalReference{Name: "acme"}
		app.ArtifactProfile.HelmArtifactProfile.HelmPackageName = artifact
		d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = append(d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications, app)
	}
	return d
}

func listing(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	m.Spec.ArtifactStoreRef.Name = "acme"
	for _, artifact := range artifacts {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: artifact, ArtifactVersion: "1"})
	}
	return m
}

func TestOneEventCostsOneList(t *testing.T) {
	t.Parallel()
	var there []client.Object
	for i := range 1000 {
		there = append(there, listing(fmt.Sprint("m", i), fmt.Sprint("a", i)))
	}
	var before, after []string
	for i := range 20 {
		before, after = append(before, fmt.Sprint("a", i)), append(after, fmt.Sprint("a", i+1))
	}
	was, is := oldForm("1", before...), oldForm("2", after...)
	for name, tc := range map[string]struct {
		reason string
		give   func(context.Context, handler.EventHandler) []string
		woken  int
		lists  int
	}{
		"Create": {"those that it names now", func(ctx context.Context, h handler.EventHandler) []string {
			q := newQueue()
			h.Create(ctx, event.CreateEvent{Object: is}, q)
			return taken(q)
		}, 20, 1},
		"Update": {"and those that it named before", func(ctx context.Context, h handler.EventHandler) []string {
			q := newQueue()
			h.Update(ctx, event.UpdateEvent{ObjectOld: was, ObjectNew: is}, q)
			return taken(q)
		}, 21, 1},
		"Delete": {"those that it named", func(ctx context.Context, h handler.EventHandler) []string {
			q := newQueue()
			h.Delete(ctx, event.DeleteEvent{Object: was}, q)
			return taken(q)
		}, 20, 1},
		"Start": {"every manifest has a pass of its own then", func(ctx context.Context, h handler.EventHandler) []string {
			q := newQueue()
			h.Create(ctx, event.CreateEvent{Object: is, IsInInitialList: true}, q)
			return taken(q)
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader, lists := cached(t, there...)
			s := NewByStore(reader)
			first, second := tc.give(t.Context(), s.Handler()), tc.give(t.Context(), s.Handler()) // of two controllers
			if len(first) != tc.woken || *lists != tc.lists {
				t.Errorf("%s: %d manifests are woken by %d lists, want %d by %d", tc.reason, len(first), *lists, tc.woken, tc.lists)
			}
			if diff := cmp.Diff(first, second); diff != "" {
				t.Errorf("%s: the second controller wakes others: -first +second\n%s", tc.reason, diff)
			}
		})
	}
}

// The list for one event must not answer another event, and a failed list must answer none.
func TestI10EveryEventIsAnsweredAnew(t *testing.T) {
	t.Parallel()
	reader, lists := cached(t, listing("m1", "a"), listing("m2", "b"))
	fail := true
	s := NewByStore(interceptor.NewClient(reader, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
		if fail {
			return errors.New("the cache has not started")
		}
		return c.List(ctx, l, opts...)
	}}))
	update := func(was, is client.Object) []string {
		q := newQueue()
		s.Handler().Update(t.Context(), event.UpdateEvent{ObjectOld: was, ObjectNew: is}, q)
		return taken(q)
	}
	if got := update(oldForm("1", "a"), oldForm("2", "a")); got != nil {
		t.Errorf("a list that failed wakes %q", got)
	}
	fail = false
	for _, tc := range []struct {
		reason  string
		was, is client.Object
		want    []string
		lists   int
	}{
		{"the list failed before", oldForm("1", "a"), oldForm("2", "a"), []string{"ns/m1"}, 1},
		{"it is the same event", oldForm("1", "a"), oldForm("2", "a"), []string{"ns/m1"}, 1},
		{"it has changed since", oldForm("2", "a"), oldForm("3", "b"), []string{"ns/m1", "ns/m2"}, 2},
		{"a repeated event says nothing of when", oldForm("3", "b"), oldForm("3", "b"), []string{"ns/m2"}, 3},
		{"and again", oldForm("3", "b"), oldForm("3", "b"), []string{"ns/m2"}, 4},
	} {
		got := update(tc.was, tc.is)
		if diff := cmp.Diff(tc.want, got); diff != "" || *lists != tc.lists {
			t.Errorf("%s: %d lists so far, want %d; -want +got\n%s", tc.reason, *lists, tc.lists, diff)
		}
	}
}
