package release

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// A publisher moves to another namespace. An entry that has left the list of the manifest
// there is not released yet, because something holds that manifest, and needs its tag.
func TestI1ATagThatAnotherManifestHasNotReleasedStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "gone", "left", "listed")
	store := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "new", Name: "acme", UID: "uid-of-new"}}
	store.Spec.Registry.URL = "http://" + w.Host + "/acme"
	moved := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "new", Name: "m", UID: "uid-of-moved"}}
	moved.Spec = *w.manifest.Spec.DeepCopy()
	moved.Spec.Artifacts = moved.Spec.Artifacts[2:]
	moved.Status.Artifacts = w.manifest.Status.DeepCopy().Artifacts[1:]
	for _, o := range []client.Object{store, moved} {
		if err := w.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	out, err := w.releaser().Release(t.Context(), w.task())
	if err != nil || len(out.Holders) > 0 {
		t.Fatal(out, err)
	}
	w.whole("after the release")
	for name, stays := range map[string]bool{"gone": false, "left": true, "listed": true} {
		if there := w.at(name, "1") != ""; there != stays {
			t.Errorf("the tag of %s exists: %t, want %t", name, there, stays)
		}
	}
}
