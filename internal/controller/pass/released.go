package pass

import (
	"context"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// maxReleased is how many objects Released remembers, which is about 10 MiB. Each is asked about milliseconds later.
const maxReleased = 100_000

// Released remembers which objects nfo has released: of those that go with its finalizer nobody could read a last status,
// so that none is written. nil remembers nothing. It is safe for concurrent use.
type Released struct {
	uids *lru.Cache[types.UID, struct{}]
}

// NewReleased remembers nothing yet.
func NewReleased() (*Released, error) {
	uids, err := lru.New[types.UID, struct{}](maxReleased)
	return &Released{uids}, err
}

// Unprotect takes the finalizer off. An object that has gone is released already.
func (r *Released) Unprotect(ctx context.Context, c client.Client, o client.Object) error {
	if !controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(Clone(o), client.MergeFromWithOptimisticLock{})
	controllerutil.RemoveFinalizer(o, v1alpha1.Finalizer)
	if r != nil { // first: it may be seen gone before the answer comes
		r.uids.Add(o.GetUID(), struct{}{})
	}
	err := c.Patch(ctx, o, patch)
	if client.IgnoreNotFound(err) == nil {
		return nil
	}
	if r != nil {
		r.uids.Remove(o.GetUID())
	}
	return err
}

// Has reports whether nfo took the finalizer off an object.
func (r *Released) Has(uid types.UID) bool { return r != nil && r.uids.Contains(uid) }

// Goes reports whether an object that is being deleted goes with nfo's finalizer: nobody else has one on it.
func Goes(o client.Object) bool { return slices.Equal(o.GetFinalizers(), []string{v1alpha1.Finalizer}) }
