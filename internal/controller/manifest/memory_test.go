package manifest

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/controller/vanished"
)

// A tenant can make manifests, and remove the finalizer when their deletion is blocked, any
// number of times. If anything of them stayed in memory, the manager would run out of it.
func TestNothingIsRememberedOfAManifestThatLosesItsFinalizer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.URL = "http://127.0.0.1:1/acme" })
	var memory pass.Memory
	r, queue := pass.Remember(w.API, &memory, w.r), vanished.New(nil, &memory, nil)
	passes := func(n int) {
		t.Helper()
		for range n {
			_, _ = r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(w.manifest())}) // the registry is unreachable
			w.Later()
		}
	}
	gone := func(uid types.UID, handle func(last *v1alpha1.ArtifactManifest)) {
		t.Helper()
		w.edit(func(m *v1alpha1.ArtifactManifest) { m.UID = uid })
		passes(3)
		w.remove()
		passes(2)
		if at := passtest.Remembered(uid, w.r); !slices.Contains(at, "Reconciler.Polls.next") || !slices.Contains(at, "Reconciler.Holders.met") || !slices.Contains(at, "Reconciler.statuses.over") {
			t.Fatalf("of a manifest that is being deleted %v are remembered", at)
		}
		last := w.manifest()
		w.edit(func(m *v1alpha1.ArtifactManifest) { m.Finalizers = nil })
		if w.manifest() != nil {
			t.Fatal("the manifest is still there")
		}
		if handle(last); len(passtest.Remembered(uid, w.r)) > 0 {
			t.Errorf("of %s, which is gone, %v are remembered", uid, passtest.Remembered(uid, w.r))
		}
	}
	holder := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: passtest.Meta("d")}
	holder.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{Name: "app"}}
	holder.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: "m"}
	if err := w.API.Create(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	gone("first", func(last *v1alpha1.ArtifactManifest) {
		queue.Handler().Delete(t.Context(), event.DeleteEvent{Object: last, DeleteStateUnknown: true}, nil)
	})
	w.apply(func(*v1alpha1.ArtifactManifest) {})
	gone("second", func(last *v1alpha1.ArtifactManifest) {
		w.apply(func(m *v1alpha1.ArtifactManifest) { m.UID = "third" })
		queue.Handler().Update(t.Context(), event.UpdateEvent{ObjectOld: last, ObjectNew: w.manifest()}, nil)
	})
}
