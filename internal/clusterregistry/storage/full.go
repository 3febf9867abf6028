package storage

import (
	"context"
	"sync/atomic"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

type fullKey struct{}

// NoteFull returns a context for a request, and whether an upload under it has found the volume full, or its quota
// used up. What the upload had brought is removed then: nobody could go on with it, and it would keep the volume full.
func NoteFull(ctx context.Context) (noted context.Context, full func() bool) {
	seen := new(atomic.Bool)
	return context.WithValue(ctx, fullKey{}, seen), seen.Load
}

// noteFull reports whether an error is that the volume is full, and notes it.
func noteFull(ctx context.Context, err error) bool {
	if !volume.Full(err) {
		return false
	}
	if seen, ok := ctx.Value(fullKey{}).(*atomic.Bool); ok {
		seen.Store(true)
	}
	return true
}
