// Package vanished records objects that were deleted without being released, because somebody removed their finalizer.
//
// Contract: a [Queue] takes such objects from the events of a cache, and a [Reconciler] records each of them once.
//
// Decision: the artifacts stay in the registry, and a manifest gets a tombstone of what was seen of it. Rejected: to remove the
// tags, because nothing was checked, and the person who removed the finalizer may want to keep the artifacts.
package vanished

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// maxVanished is the most vanished objects that wait to be recorded.
const maxVanished = 10_000

// Queue has objects that were deleted although nfo did not release them: their finalizer was removed
// by somebody else. Their artifacts are still in the registry, and nothing else records that.
type Queue struct {
	released *pass.Released
	memory   *pass.Memory
	watched  reference.Watched
	mu       sync.Mutex
	all      map[reconcile.Request]client.Object
}

// New returns an empty queue. Objects in released, and those of namespaces that
// are not watched, are not queued. Whatever memory has of a deleted object is dropped.
func New(released *pass.Released, memory *pass.Memory, watched reference.Watched) *Queue {
	return &Queue{released: released, memory: memory, watched: watched, all: map[reconcile.Request]client.Object{}}
}

// unprotected reports whether an object was deleted without being released by nfo. The status
// of a released object that other finalizers kept in existence says that it was released.
func (q *Queue) unprotected(o client.Object) bool {
	if q.released.Has(o.GetUID()) {
		return false
	}
	c := apimeta.FindStatusCondition(v1alpha1.ConditionsOf(o), v1alpha1.ConditionDeletionBlocked)
	return c == nil || c.Reason != v1alpha1.ReasonReleased
}

// Handler queues vanished objects, and drops what is remembered of every deleted object.
func (q *Queue) Handler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) {
		if e.ObjectOld.GetUID() != e.ObjectNew.GetUID() { // the deletion was missed, and another object now has the name
			q.memory.Forget(e.ObjectOld)
		}
	}, DeleteFunc: func(ctx context.Context, e event.DeleteEvent, to queue) {
		q.memory.Forget(e.Object)
		if e.DeleteStateUnknown || !q.watched.Has(e.Object.GetNamespace()) || !q.unprotected(e.Object) {
			return
		}
		key := wake.Request(e.Object.GetNamespace(), string(e.Object.GetUID()))
		q.mu.Lock()
		full := len(q.all) >= maxVanished
		if !full {
			q.all[key] = e.Object
		}
		q.mu.Unlock()
		if full {
			log.FromContext(ctx).Info("Too many objects vanish at once, this one is not recorded", "object", client.ObjectKeyFromObject(e.Object))
			return
		}
		to.Add(key)
	}}
}

// Len returns how many objects wait to be recorded.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.all)
}

func (q *Queue) get(key reconcile.Request) client.Object {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all[key]
}

func (q *Queue) done(key reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.all, key)
}

// Reconciler records objects that were deleted without their finalizer: with an
// event, and for a manifest also with a tombstone of the artifacts that were seen. It removes
// no tag, because the person who removed the finalizer may want to keep the artifacts.
type Reconciler struct {
	Releaser *release.Releaser
	Queue    *Queue
	Events   events.EventRecorder
}

// Reconcile records one object. Requests identify it by its UID.
func (r *Reconciler) Reconcile(ctx context.Context, key reconcile.Request) (ctrl.Result, error) {
	o := r.Queue.get(key)
	if o == nil {
		return ctrl.Result{}, nil
	}
	note, err := r.note(ctx, o)
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	if note != "" {
		pass.Tell(r.Events, o, corev1.EventTypeWarning, v1alpha1.ReasonUnprotected, "Deleting", note)
		log.FromContext(ctx).Info("An object was deleted without its finalizer", "object", client.ObjectKeyFromObject(o), "kind", fmt.Sprintf("%T", o))
	}
	r.Queue.done(key)
	return ctrl.Result{}, nil
}

// note records a manifest, and returns the note of the object's event; "" if the object was released after all.
func (r *Reconciler) note(ctx context.Context, o client.Object) (string, error) {
	note := "It was deleted without its finalizer " + v1alpha1.Finalizer + ", so nothing was checked."
	m, ok := o.(*v1alpha1.ArtifactManifest)
	if !ok || m.Spec.UploadPath == v1alpha1.StoreScoped {
		return note, nil
	}
	grave, released, err := r.record(ctx, m)
	if err != nil && !release.NamespaceGone(err) && !apierrors.IsNotFound(err) {
		return "", err
	}
	if released {
		return "", nil
	}
	note += " Its tags stay in the registry."
	if grave != "" {
		note += fmt.Sprintf(" Tombstone %s records them. To remove them, apply the manifest again and delete it.", grave)
	}
	return note, nil
}

// record writes tombstones for everything that was seen of a manifest, and begins no
// grace period, because no tag was removed. It returns the name of the first tombstone, "" if
// it wrote none. released is true if an earlier leader had released the manifest.
func (r *Reconciler) record(ctx context.Context, m *v1alpha1.ArtifactManifest) (name string, released bool, err error) {
	var store v1alpha1.ArtifactStore
	if err := r.Releaser.Live.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &store); err != nil {
		return "", false, fmt.Errorf("reading store %s: %w", m.Spec.ArtifactStoreRef.Name, err)
	}
	l, err := store.Location()
	if err != nil {
		return "", false, nil //nolint:nilerr // nothing was ever seen there
	}
	task := release.Task{Manifest: m, Entries: inventory.Entries(m, l), Cause: v1alpha1.CauseReleased}
	var found []release.Finding
	for _, e := range task.Owned(l) {
		if e.Digest != "" {
			found = append(found, release.Finding{ArtifactStatus: e, There: true})
		}
	}
	groups := task.Group(found)
	for _, group := range slices.Backward(slices.Sorted(maps.Keys(groups))) {
		t := tombstone.New(m, &store, v1alpha1.CauseReleased, group)
		if released, err = r.released(ctx, t, groups[group]); err != nil {
			return "", false, err
		}
		if released {
			continue
		}
		if t, err = r.Releaser.Record(ctx, t, groups[group]); err != nil {
			return "", false, err
		}
		name = t.Name
	}
	return name, name == "" && len(groups) > 0, nil
}

// released reports whether the stored tombstone says for each finding that its tag was removed and not restored.
func (r *Reconciler) released(ctx context.Context, of *v1alpha1.Tombstone, found []release.Finding) (bool, error) {
	var t v1alpha1.Tombstone
	if err := r.Releaser.Live.Get(ctx, client.ObjectKeyFromObject(of), &t); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return tombstone.SamePlace(&t, of) && !slices.ContainsFunc(found, func(f release.Finding) bool { return !removed(&t, f) }), nil
}

// removed reports whether a tombstone says that a tag was removed, and
// that no restore found the tag at another digest or its digest missing.
func removed(t *v1alpha1.Tombstone, f release.Finding) bool {
	e := t.Entry(f.Repository, f.ArtifactVersion)
	if strings.HasPrefix(e.Reason, v1alpha1.ReasonTagTaken) || strings.HasPrefix(e.Reason, v1alpha1.ReasonUndoLost) {
		return false
	}
	return slices.Contains([]v1alpha1.TombstoneState{v1alpha1.TombstoneUntagged, v1alpha1.TombstoneKept, v1alpha1.TombstoneSweeping, v1alpha1.TombstonePurged}, e.State)
}
