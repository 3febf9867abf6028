package manifest

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/vanished"
)

// gone lets a reconciler that acts in the watched namespaces see the deletion
// of a manifest, and returns how many objects it had to record.
func (w *world) gone(m *v1alpha1.ArtifactManifest, released *pass.Released, watched ...string) int {
	w.t.Helper()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	r := &vanished.Reconciler{Releaser: w.r.Releaser, Queue: vanished.New(released, nil, watched), Events: w.Events}
	r.Queue.Handler().Delete(w.t.Context(), event.DeleteEvent{Object: m}, queue)
	n := queue.Len()
	for range n {
		key, _ := queue.Get()
		if _, err := r.Reconcile(w.t.Context(), key); err != nil {
			w.t.Fatal(err)
		}
	}
	if n := r.Queue.Len(); n > 0 {
		w.t.Errorf("%d objects still wait", n)
	}
	return n
}

// unprotected reports whether an event since the last call says that an object lost its finalizer.
func (w *world) unprotected() (said bool) {
	for len(w.Events.Events) > 0 {
		said = strings.Contains(<-w.Events.Events, v1alpha1.ReasonUnprotected) || said
	}
	return said
}

// The last status does not say that a manifest was released. The process that released it knows it
// from memory; another process must find it in the tombstone, whose grace period must continue.
func TestI5AReleasedManifestHasNotVanished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	var err error
	if w.r.Released, err = pass.NewReleased(); err != nil {
		t.Fatal(err)
	}
	w.remove()
	last := w.manifest()
	w.passes(8)
	if w.manifest() != nil {
		t.Fatal("the manifest is still there")
	}
	grave := w.Tombstones(t)[0]
	if n := w.gone(last, w.r.Released); n != 0 {
		t.Errorf("the process that released it has %d objects to record", n)
	}
	if n := w.gone(last, nil); n != 1 || w.unprotected() {
		t.Errorf("another one has %d objects to record, or said that one lost its finalizer", n)
	}
	if now := w.Tombstones(t); len(now) != 1 || now[0].ResourceVersion != grave.ResourceVersion {
		t.Errorf("the tombstones are %v, want the one before", now)
	}
}

func TestAManifestThatLosesItsFinalizerIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	last := w.manifest()
	last.DeletionTimestamp = &metav1.Time{}
	if n := w.gone(last, nil); n != 1 || !w.unprotected() {
		t.Errorf("%d objects to record, or nothing was said", n)
	}
	graves := w.Tombstones(t)
	if len(graves) != 1 || graves[0].Status.RestorableUntil != nil || len(graves[0].Spec.Artifacts) != 2 {
		t.Fatalf("the tombstones are %v", graves)
	}
	if n := w.gone(last, nil); n != 1 || len(w.Tombstones(t)) != 1 {
		t.Errorf("once more: %d objects, %d tombstones", n, len(w.Tombstones(t)))
	}
}

// An undone release could not restore a tag that somebody had pushed
// again. The manifest was not released, so its deletion must be recorded.
func TestAnUndoneReleaseIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	last := w.manifest()
	w.remove()
	w.settle()
	grave := w.Tombstones(t)[0]
	grave.Status.Artifacts[0].Reason = v1alpha1.ReasonTagTaken + ": the tag is at another digest and was left there"
	if err := w.API.Status().Update(t.Context(), &grave); err != nil {
		t.Fatal(err)
	}
	w.unprotected()
	if n := w.gone(last, nil); n != 1 || !w.unprotected() {
		t.Errorf("%d objects to record, or nothing was said", n)
	}
}

// The operator's passes skip objects of namespaces that it does not act
// in, so such objects must not wait: the queue would fill with them.
func TestAnObjectOfAnotherNamespaceIsNotQueued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	last := w.manifest()
	if n := w.gone(last, nil, "other"); n != 0 || len(w.Tombstones(t)) > 0 {
		t.Errorf("%d objects to record, %d tombstones", n, len(w.Tombstones(t)))
	}
	if n := w.gone(last, nil, "other", last.Namespace); n != 1 || len(w.Tombstones(t)) != 1 {
		t.Errorf("in a watched namespace: %d objects to record, %d tombstones", n, len(w.Tombstones(t)))
	}
}
