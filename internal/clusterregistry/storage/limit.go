package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
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
	// Large is the size, in bytes, above which a manifest is large. One of 4 MiB takes up to 50 MiB of memory while it is
	// read, so that few requests at a time may have one.
	Large = 256 << 10
	// atOnce is how many requests at a time may have large manifests.
	atOnce = 3
	// roomTime is how long a request waits for that.
	roomTime = 10 * time.Second
	// maxUploads bounds the uploads of one repository that have not ended.
	maxUploads = 1000
)

var (
	// errTooManyParts is a manifest that needs more than maxParts files.
	errTooManyParts = fmt.Errorf("the manifest needs more than %d blobs and manifests", maxParts)
	// errTooMuch is a request whose looks have gone through more than one request may.
	errTooMuch = fmt.Errorf("the registry checks at most %d files and %d MiB of manifests for one request, and this one needs more: "+
		"push fewer images in one index, and no manifests of megabytes", requestFiles, requestBytes>>20)
	// ErrBusy means that a request can be sent again later.
	ErrBusy = errors.New("the registry cannot do this now")
	// errNoRoom is a large manifest that waits for others.
	errNoRoom = fmt.Errorf("%w: at most %d requests at a time, and one of each client, may read or write manifests of more than %d KiB. Try again", ErrBusy, atOnce, Large>>10)
	// ErrTooManyUploads is a repository with maxUploads uploads that have not ended.
	ErrTooManyUploads = fmt.Errorf("more than %d uploads to this repository have begun and not ended: end or cancel them. A collection was asked for, which deletes those that nobody goes on with", maxUploads)
)

type limitKey struct{}

// Limit is what one request may still cost. It is safe for concurrent use.
type Limit struct {
	files, bytes atomic.Int64
	refused      atomic.Pointer[error]
	// large are the places for large manifests, own is the client's only one.
	large, own chan struct{}
	mu         sync.Mutex
	has        bool // a place among the large ones, and the client's own if there is one
}

func newLimit(large, own chan struct{}) *Limit {
	l := &Limit{large: large, own: own}
	l.files.Store(requestFiles)
	l.bytes.Store(requestBytes)
	return l
}

// Limit returns a context for a request, whose looks are bounded together. The request must end its limit. Requests with the
// same own, which is a channel for one element, have one large manifest at a time. Nil: no bound but that for all.
func (d *Driver) Limit(ctx context.Context, own chan struct{}) (context.Context, *Limit) {
	l := newLimit(d.large, own)
	return context.WithValue(ctx, limitKey{}, l), l
}

// limitOf is the limit of a request, or that of one look where no request is known.
func limitOf(ctx context.Context) *Limit {
	if l, ok := ctx.Value(limitKey{}).(*Limit); ok {
		return l
	}
	return newLimit(nil, nil)
}

// Refused is why something was given up for the request, or nil. Nobody knows then whether what was looked at is there: it
// must not be called absent.
func (l *Limit) Refused() error {
	if why := l.refused.Load(); why != nil {
		return *why
	}
	return nil
}

// Room waits until the request may have a manifest of that many bytes in memory.
func (l *Limit) Room(ctx context.Context, bytes int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes <= Large || l.has || l.large == nil {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	// The client's own place first: those who wait for it keep none from others.
	if l.own != nil {
		select {
		case l.own <- struct{}{}:
		case <-waiting.Done():
			return l.refuse(errNoRoom)
		}
	}
	select {
	case l.large <- struct{}{}:
		l.has = true
		return nil
	case <-waiting.Done():
		if l.own != nil {
			<-l.own
		}
		return l.refuse(errNoRoom)
	}
}

// End gives back what the request has taken.
func (l *Limit) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.has {
		l.has = false
		<-l.large
		if l.own != nil {
			<-l.own
		}
	}
}

// spend takes what a look needs.
func (l *Limit) spend(files, bytes int64) error {
	if l.files.Add(-files) < 0 || l.bytes.Add(-bytes) < 0 {
		return l.refuse(errTooMuch)
	}
	return nil
}

func (l *Limit) refuse(why error) error {
	l.refused.CompareAndSwap(nil, &why)
	return why
}
