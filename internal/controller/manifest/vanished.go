package manifest

import (
	"context"
	"fmt"
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
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// maxVanished bounds how many vanished objects wait to be recorded.
const maxVanished = 10_000

// Vanished are objects that were deleted although nfo did not let them go: somebody had removed the
// finalizer. What was in the registry is there still, and nothing else knows of it.
//
// It is safe for concurrent use.
type Vanished struct {
	mu  sync.Mutex
	all map[reconcile.Request]client.Object
}

// NewVanished makes an empty queue of them.
func NewVanished() *Vanished { return &Vanished{all: map[reconcile.Request]client.Object{}} }

// unprotected reports whether an object that has been deleted was not released by nfo.
func unprotected(o client.Object) bool {
	c := apimeta.FindStatusCondition(v1alpha1.ConditionsOf(o), v1alpha1.ConditionDeletionBlocked)
	return c == nil || c.Reason != v1alpha1.ReasonReleased
}

// Handler queues objects that vanished.
func (v *Vanished) Handler() handler.EventHandler {
	return handler.Funcs{DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		if e.DeleteStateUnknown || !unprotected(e.Object) {
			return
		}
		key := wake.Request(e.Object.GetNamespace(), string(e.Object.GetUID()))
		v.mu.Lock()
		full := len(v.all) >= maxVanished
		if !full {
			v.all[key] = e.Object
		}
		v.mu.Unlock()
		if full {
			log.FromContext(ctx).Info("Too many objects vanish at once, this one is not recorded", "object", client.ObjectKeyFromObject(e.Object))
			return
		}
		q.Add(key)
	}}
}

func (v *Vanished) get(key reconcile.Request) client.Object {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[key]
}

func (v *Vanished) done(key reconcile.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.all, key)
}

// VanishedReconciler records objects that were deleted without their finalizer: an event, and of a manifest
// a tombstone with what was seen of its artifacts. It removes no tag: the person who removed the finalizer may
// have wanted that the artifacts stay.
type VanishedReconciler struct {
	Releaser *release.Releaser
	Vanished *Vanished
	Events   events.EventRecorder
}

// Reconcile records one object. Requests name it by its UID.
func (r *VanishedReconciler) Reconcile(ctx context.Context, key reconcile.Request) (ctrl.Result, error) {
	o := r.Vanished.get(key)
	if o == nil {
		return ctrl.Result{}, nil
	}
	note := "It was deleted without its finalizer " + v1alpha1.Finalizer + ", so nothing was checked."
	if m, ok := o.(*v1alpha1.ArtifactManifest); ok && m.Spec.UploadPath != v1alpha1.StoreScoped {
		grave, err := r.record(ctx, m)
		if err != nil && !release.NamespaceGone(err) && !apierrors.IsNotFound(err) {
			return pass.Finish(ctrl.Result{}, err)
		}
		note += " Its tags stay in the registry."
		if grave != "" {
			note += fmt.Sprintf(" Tombstone %s records them. To remove them, apply the manifest again and delete it.", grave)
		}
	}
	pass.Tell(r.Events, o, corev1.EventTypeWarning, v1alpha1.ReasonUnprotected, "Deleting", note)
	log.FromContext(ctx).Info("An object was deleted without its finalizer", "object", client.ObjectKeyFromObject(o), "kind", fmt.Sprintf("%T", o))
	r.Vanished.done(key)
	return ctrl.Result{}, nil
}

// record writes a tombstone of all that was seen of a manifest, and begins no grace: no tag was removed. It
// returns the tombstone's name, "" if nothing was ever seen.
func (r *VanishedReconciler) record(ctx context.Context, m *v1alpha1.ArtifactManifest) (string, error) {
	var store v1alpha1.ArtifactStore
	if err := r.Releaser.Live.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &store); err != nil {
		return "", fmt.Errorf("reading store %s: %w", m.Spec.ArtifactStoreRef.Name, err)
	}
	l, err := store.Location()
	if err != nil {
		return "", nil //nolint:nilerr // nothing was ever seen there
	}
	var found []release.Finding
	for _, e := range (release.Task{Manifest: m, Entries: inventory.Entries(m, l)}).Owned(l) {
		if e.Digest != "" {
			found = append(found, release.Finding{ArtifactStatus: e, There: true})
		}
	}
	if len(found) == 0 {
		return "", nil
	}
	t := tombstone.New(m, &store, v1alpha1.CauseReleased, tombstone.Name(m, v1alpha1.CauseReleased, ""))
	t, err = r.Releaser.Record(ctx, t, found)
	if err != nil {
		return "", err
	}
	return t.Name, nil
}
