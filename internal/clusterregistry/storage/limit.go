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
	// maxParts bounds the files of one presence check: an index of 400 images of
	// 50 layers has that many. A larger manifest is refused when it is pushed.
	maxParts = 20_000
	// requestFiles bounds the files of all presence checks of one request. A push of an index checks each child, and
	// then all of them twice. What children share is checked for each child.
	requestFiles = 10 * maxParts
	// requestBytes bounds the manifests that all presence checks of one request read, in bytes.
	requestBytes = 256 << 20
	// Large is the size in bytes above which a manifest is large. A manifest of 4 MiB takes up to 50 MiB of memory
	// while it is read, so only a few requests at a time may read one.
	Large = 256 << 10
	// atOnce is the number of requests that may have large manifests in memory at a time.
	atOnce = 3
	// roomTime is how long a request waits for a place among them.
	roomTime = 10 * time.Second
	// maxUploads bounds the unfinished uploads of one repository.
	maxUploads = 1000
)

var (
	// errTooManyParts means that a manifest needs more than maxParts files.
	errTooManyParts = fmt.Errorf("the manifest needs more than %d blobs and manifests", maxParts)
	// errTooMuch means that the presence checks of a request have exceeded its limit.
	errTooMuch = fmt.Errorf("the registry checks at most %d files and %d MiB of manifests for one request, and this one needs more: "+
		"push fewer images in one index, and no manifests of megabytes", requestFiles, requestBytes>>20)
	// ErrBusy means that the client can repeat the request later.
	ErrBusy = errors.New("the registry cannot do this now")
	// errNoRoom means that a large manifest has waited for others for roomTime.
	errNoRoom = fmt.Errorf("%w: at most %d requests at a time, and one of each client, may read or write manifests of more than %d KiB. Try again", ErrBusy, atOnce, Large>>10)
	// ErrTooManyUploads means that a repository has maxUploads unfinished uploads.
	ErrTooManyUploads = fmt.Errorf("more than %d uploads to this repository have begun and not ended: end or cancel them. A collection was asked for, which deletes those that nobody goes on with", maxUploads)
)

type limitKey struct{}

// Limit is what the checks of one request may still cost. It is safe for concurrent use.
type Limit struct {
	files, bytes atomic.Int64
	refused      atomic.Pointer[error]
	// large has the places for large manifests, own is the client's single place, or nil.
	large, own chan struct{}
	mu         sync.Mutex
	has        bool // whether the request holds a place in large, and in own if that is not nil
}

func newLimit(large, own chan struct{}) *Limit {
	l := &Limit{large: large, own: own}
	l.files.Store(requestFiles)
	l.bytes.Store(requestBytes)
	return l
}

// Limit returns a context with a limit that all presence checks of a request share. The caller must call End of the
// limit when the request ends. Requests with the same own, a channel with a buffer of one, have one large manifest at a
// time. If own is nil, only the limit for all clients applies.
func (d *Driver) Limit(ctx context.Context, own chan struct{}) (context.Context, *Limit) {
	l := newLimit(d.large, own)
	return context.WithValue(ctx, limitKey{}, l), l
}

// limitOf returns the limit of the request, or a new limit for one check if ctx has none.
func limitOf(ctx context.Context) *Limit {
	if l, ok := ctx.Value(limitKey{}).(*Limit); ok {
		return l
	}
	return newLimit(nil, nil)
}

// Refused returns why the request was refused, or nil. After a refusal it is unknown whether the checked content is
// present, so it must not be reported as absent.
func (l *Limit) Refused() error {
	if why := l.refused.Load(); why != nil {
		return *why
	}
	return nil
}

// Room waits until the request may have a manifest of the given size in memory.
func (l *Limit) Room(ctx context.Context, bytes int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes <= Large || l.has || l.large == nil {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	// The client's own place comes first: requests that wait for it occupy no place of other clients.
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

// End releases the places that the request holds.
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

// spend takes files and bytes from the limit, or refuses the request.
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
