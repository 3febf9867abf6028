package pass

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/reference"
)

// Statuses remembers over which version of an object its status was last written. A pass that reads that
// version again has a cache that does not know of the write, and what it takes for said may not be.
// The zero value is ready. It is safe for concurrent use.
type Statuses struct {
	mu   sync.Mutex
	over map[types.UID]string
}

// Write stores an object's status. An object that has gone has none.
func (w *Statuses) Write(ctx context.Context, api client.Client, o client.Object) error {
	over := o.GetResourceVersion()
	if err := api.Status().Update(ctx, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	if o.GetResourceVersion() == over { // nothing was stored, as where the API does not know a new field yet: the cache has it all
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
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
}
