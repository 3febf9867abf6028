package manifest

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/lane"
)

// The annotation nfo.dev/reconcile-now polls all entries of a manifest
// at once, once for each value. The annotation of the store counts, too.
func TestReconcileNowAsksForAManifestOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	run := func() int {
		t.Helper()
		w.Forget()
		if _, err := w.r.Reconcile(t.Context(), w.manifest()); err != nil {
			t.Fatal(err)
		}
		return w.Count(nil)
	}
	asked := func(when string, want bool) {
		t.Helper()
		if got := run() > 0; got != want {
			t.Errorf("%s: the registry was asked: %t, want %t", when, got, want)
		}
	}
	remembered := func(want string) {
		t.Helper()
		if got := w.manifest().Status.LastReconcileNow; got != want {
			t.Errorf("what is remembered is %q, want %q", got, want)
		}
	}
	order := func(value string) {
		t.Helper()
		m := w.manifest()
		metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.AnnotationReconcileNow, value)
		if err := w.API.Update(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	run() // a poll was due
	asked("before it is due", false)
	// Without a place in the registry the request stays open.
	order("1")
	var leaves []func()
	for i := range lane.Polls.Store {
		leave, _ := w.r.Polling.Enter(w.Store, i)
		leaves = append(leaves, leave)
	}
	asked("while no place", false)
	remembered("")
	for _, leave := range leaves {
		leave()
	}
	asked("by order", true)
	remembered("1")
	asked("by the same order", false)
	s := &v1alpha1.ArtifactStore{}
	if err := w.API.Get(t.Context(), client.ObjectKeyFromObject(w.Store), s); err != nil {
		t.Fatal(err)
	}
	metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationReconcileNow, "2")
	if err := w.API.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	asked("by an order on the store", true)
	remembered("1,2")
	asked("by the same orders", false)
	order("3")
	asked("by another order", true)
	order("")
	if err := w.API.Get(t.Context(), client.ObjectKeyFromObject(w.Store), s); err != nil {
		t.Fatal(err)
	}
	delete(s.Annotations, v1alpha1.AnnotationReconcileNow)
	if err := w.API.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	asked("when the orders are taken back", false)
	remembered("")
}
