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

// maxReleased is how many objects Released remembers, in about 10 MiB. Each is looked up milliseconds later.
const maxReleased = 100_000

// Released remembers which objects nfo has released. The status cannot say so: an
// object that disappears with nfo's finalizer gets no last status, because nobody
// could read it. A nil Released remembers nothing. It is safe for concurrent use.
type Released struct {
	uids *lru.Cache[types.UID, struct{}]
}

// NewReleased makes an empty Released.
func NewReleased() (*Released, error) {
	uids, err := lru.New[types.UID, struct{}](maxReleased)
	return &Released{uids}, err
}

// Unprotect removes the finalizer. An object that no longer exists counts as released.
func (r *Released) Unprotect(ctx context.Context, c client.Client, o client.Object) error {
	if !controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(Clone(o), client.MergeFromWithOptimisticLock{})
	controllerutil.RemoveFinalizer(o, v1alpha1.Finalizer)
	if r != nil { // first, because its deletion may be seen before the answer arrives
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

// Has reports whether nfo removed the finalizer of an object.
func (r *Released) Has(uid types.UID) bool { return r != nil && r.uids.Contains(uid) }

// Goes reports whether an object that is being deleted disappears
// once nfo's finalizer is removed, because it has no other.
func Goes(o client.Object) bool { return slices.Equal(o.GetFinalizers(), []string{v1alpha1.Finalizer}) }
