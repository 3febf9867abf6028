package storage

import (
	"context"
	"fmt"
	"sync/atomic"
)

const (
	// maxParts bounds how many files one look goes through: an index of 400 images of 50 layers has that many. A larger
	// one is refused when it is pushed.
	maxParts = 20_000
	// requestFiles bounds the files that all looks of one request go through. A push of an index looks at each child,
	// and then twice at all; what children share is looked at for each of them.
	requestFiles = 10 * maxParts
	// requestBytes bounds the manifests that all looks of one request read, in bytes.
	requestBytes = 256 << 20
)

var (
	// errTooManyParts is a manifest that needs more than maxParts files.
	errTooManyParts = fmt.Errorf("the manifest needs more than %d blobs and manifests", maxParts)
	// errTooMuch is a request whose looks have gone through more than one request may.
	errTooMuch = fmt.Errorf("the registry checks at most %d files and %d MiB of manifests for one request, and this one needs more: "+
		"push fewer images in one index, and no manifests of megabytes", requestFiles, requestBytes>>20)
)

type budgetKey struct{}

// budget is what the looks of one request may still cost.
type budget struct {
	files, bytes atomic.Int64
	refused      atomic.Pointer[error]
}

func newBudget() *budget {
	b := &budget{}
	b.files.Store(requestFiles)
	b.bytes.Store(requestBytes)
	return b
}

// Limit returns a context for a request, whose looks are bounded together, and the reason for which one of them was
// given up, or nil. Nobody knows then whether what was looked at is there: it must not be called absent.
func Limit(ctx context.Context) (limited context.Context, refused func() error) {
	b := newBudget()
	return context.WithValue(ctx, budgetKey{}, b), func() error {
		if why := b.refused.Load(); why != nil {
			return *why
		}
		return nil
	}
}

// budgetOf is the budget of a request, or that of one look where no request is known.
func budgetOf(ctx context.Context) *budget {
	if b, ok := ctx.Value(budgetKey{}).(*budget); ok {
		return b
	}
	return newBudget()
}

// spend takes from the budget what a look needs.
func (b *budget) spend(files, bytes int64) error {
	if b.files.Add(-files) < 0 || b.bytes.Add(-bytes) < 0 {
		return b.refuse(errTooMuch)
	}
	return nil
}

func (b *budget) refuse(why error) error {
	b.refused.CompareAndSwap(nil, &why)
	return why
}
