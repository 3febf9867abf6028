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

// Statuses remembers over which version of an object its status was last written. A pass that reads that
// version again has a cache that does not know of the write, and what it takes for said may not be.
// The zero value is ready. It is safe for concurrent use.
type Statuses struct {
	mu   sync.Mutex
	over map[types.UID]string
	// waits is since when a change of an object's status has not been written.
	waits map[types.UID]time.Time
}

// Settle returns how much longer a change of an object's status is not to be written, as it may be over or others may follow
// soon: 0 when it has waited for as long as it may. Otherwise the caller must come again after that time, and writes the status
// as it is then.
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

// Sooner returns the shorter of two times to wait, of which 0 is for ever.
func Sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// SameState reports whether conditions differ at most in the words of those that name the holders of an object.
func SameState(before, after []metav1.Condition) bool {
	return slices.EqualFunc(before, after, func(a, b metav1.Condition) bool {
		if a.Type == v1alpha1.ConditionReferenced || a.Type == v1alpha1.ConditionDeletionBlocked {
			a.Message = b.Message
		}
		return equality.Semantic.DeepEqual(a, b)
	})
}

// Write stores an object's status. An object that has gone has none.
func (w *Statuses) Write(ctx context.Context, api client.Client, o client.Object) error {
	over := o.GetResourceVersion()
	if err := api.Status().Update(ctx, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waits, o.GetUID())
	if o.GetResourceVersion() == over { // nothing was stored, as where the API does not know a new field yet: the cache has it all
		return nil
	}
	if w.over == nil {
		w.over = map[types.UID]string{}
	}
	w.over[o.GetUID()] = over
	return nil
}

// Current is nil if the status of an object as it was read is what was stored last. Errors wrap reference.ErrSuperseded.
func (w *Statuses) Current(o client.Object) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if over, known := w.over[o.GetUID()]; known && over == o.GetResourceVersion() {
		return fmt.Errorf("reading %s %s: %w", o.GetNamespace(), o.GetName(), reference.ErrSuperseded)
	}
	return nil
}

// Forget drops an object that has gone.
func (w *Statuses) Forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.over, uid)
	delete(w.waits, uid)
}
