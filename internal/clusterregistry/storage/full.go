package storage

import (
	"context"
	"sync/atomic"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

type fullKey struct{}

// NoteFull returns a context for a request, and a function that reports whether an
// upload in that context found the volume full or its quota used up. Such an upload
// is removed: it cannot be continued, and its data would keep the volume full.
func NoteFull(ctx context.Context) (noted context.Context, full func() bool) {
	seen := new(atomic.Bool)
	return context.WithValue(ctx, fullKey{}, seen), seen.Load
}

// noteFull reports whether an error says that the volume is full, and records this for NoteFull.
func noteFull(ctx context.Context, err error) bool {
	if !volume.Full(err) {
		return false
	}
	if seen, ok := ctx.Value(fullKey{}).(*atomic.Bool); ok {
		seen.Store(true)
	}
	return true
}
