package pass

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Statuses remembers, for each object, the resource version that its last status write replaced.
// If a pass reads that version again, its cache lags behind the write, and the status in it may
// lack what was already reported. The zero value is ready. It is safe for concurrent use.
type Statuses struct {
	mu   sync.Mutex
	over map[types.UID]string
	// waits is since when a change of an object's status has been put off.
	waits map[types.UID]time.Time
}

// Settle returns how much longer to put off a change of an object's status, because the change
// may soon be out of date or be followed by others; 0 once it has been put off for most. The
// caller must run again after that time, and then writes the status as it is at that time.
func (w *Statuses) Settle(o client.Object, now time.Time, most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits == nil {
		w.waits = map[types.UID]time.Time{}
	}
	since, waits := w.waits[o.GetUID()]
	if !waits {
		w.waits[o.GetUID()], since = now, now
	}
	return max(0, most-now.Sub(since))
}

// Sooner returns the shorter of two times to wait; 0 means for ever.
func Sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// SameState reports whether conditions differ at most in the messages of
// Referenced and DeletionBlocked, which name the holders of an object.
func SameState(before, after []metav1.Condition) bool {
	return slices.EqualFunc(before, after, func(a, b metav1.Condition) bool {
		if a.Type == v1alpha1.ConditionReferenced || a.Type == v1alpha1.ConditionDeletionBlocked {
			a.Message = b.Message
		}
		return equality.Semantic.DeepEqual(a, b)
	})
}

// Write stores an object's status. It ignores an object that no longer exists.
func (w *Statuses) Write(ctx context.Context, api client.Client, o client.Object) error {
	over := o.GetResourceVersion()
	if err := api.Status().Update(ctx, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waits, o.GetUID())
	if o.GetResourceVersion() == over { // nothing was stored, for example because the API server does not know a new field yet: the cache does not lag
		return nil
	}
	if w.over == nil {
		w.over = map[types.UID]string{}
	}
	w.over[o.GetUID()] = over
	return nil
}

// Current returns an error if an object was read at a version that this process's
// last status write has replaced. The error wraps reference.ErrSuperseded.
func (w *Statuses) Current(o client.Object) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if over, known := w.over[o.GetUID()]; known && over == o.GetResourceVersion() {
		return fmt.Errorf("reading %s %s: %w", o.GetNamespace(), o.GetName(), reference.ErrSuperseded)
	}
	return nil
}

// Unchanged is Current for an object whose status stays as it was read: a change that was put off has reverted.
func (w *Statuses) Unchanged(o client.Object) error {
	if err := w.Current(o); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waits, o.GetUID())
	return nil
}

// Forget drops an object that no longer exists.
func (w *Statuses) Forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.over, uid)
	delete(w.waits, uid)
}
