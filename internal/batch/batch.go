// Package batch lets callers that need to read the same thing at the same time share one read.
//
// Contract: the value that Do returns was read after Do was called, so that the caller
// can use it as evidence. A caller that gives up does not affect the read for the others.
//
// Decision: callers that arrive while a read runs share the next read. Rejected: a cache
// with an age, which returns values that were read before the call. Rejected: singleflight
// of golang.org/x/sync, in which later callers get a read that began before they asked.
package batch

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// defaultLimit is the longest time of one read if no Limit is set.
const defaultLimit = time.Minute

// Reads are shared reads by key. The zero value is ready for use, and it is
// safe for concurrent use. Values are shared, so callers must not change them.
type Reads[K comparable, V any] struct {
	// Limit is the longest time of one read; 0 means a minute.
	Limit time.Duration

	mu sync.Mutex
	// Of each key, at most one read waits and one runs.
	waits, runs map[K]*read[V]
}

type read[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// Do returns the result of a read that began after Do was called: of this caller's do, or of that
// of another caller with the same key. Errors are those of do, or ctx's if the caller gives up.
func (r *Reads[K, V]) Do(ctx context.Context, key K, do func(context.Context) (V, error)) (V, error) {
	r.mu.Lock()
	if r.waits == nil {
		r.waits, r.runs = map[K]*read[V]{}, map[K]*read[V]{}
	}
	next, joined := r.waits[key]
	if !joined {
		next = &read[V]{done: make(chan struct{})}
		r.waits[key] = next
		go r.run(context.WithoutCancel(ctx), key, next, r.runs[key], do)
	}
	r.mu.Unlock()
	select {
	case <-next.done:
		return next.value, next.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

func (r *Reads[K, V]) run(ctx context.Context, key K, this, before *read[V], do func(context.Context) (V, error)) {
	if before != nil {
		<-before.done
	}
	r.mu.Lock()
	delete(r.waits, key)
	r.runs[key] = this
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Limit, defaultLimit))
	defer cancel()
	this.value, this.err = do(ctx)
	r.mu.Lock()
	if r.runs[key] == this {
		delete(r.runs, key)
	}
	r.mu.Unlock()
	close(this.done)
}
