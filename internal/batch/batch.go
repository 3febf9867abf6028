// Package batch lets many that need to read the same at the same time read it once.
//
// Contract: what Do returns was read after Do was called, so that the caller can use it as evidence. A caller that gives up
// does not spoil the read of the others.
//
// Decision: callers that come while a read runs share the next one. Rejected: a cache with an age,
// which answers with what was read before the question; and singleflight of golang.org/x/sync, whose
// later callers get a read that had begun before they asked.
package batch

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// defaultLimit is the most time that one read may take where nothing else is said.
const defaultLimit = time.Minute

// Reads are reads by key. The zero value is ready for use, and it is safe
// for concurrent use. Values are shared: nobody may change them.
type Reads[K comparable, V any] struct {
	// Limit is the most time that one read may take; 0 for a minute.
	Limit time.Duration

	mu sync.Mutex
	// Of each key at most one read waits and one runs.
	waits, runs map[K]*read[V]
}

type read[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// Do returns what a read gave that began after Do was called: do's own, or that of another caller with the
// same key. Errors are those of do, and ctx's when the caller gives up.
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
