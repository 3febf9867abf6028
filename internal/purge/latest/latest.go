// Package latest shares the last reading of something that takes long to read.
//
// Contract: callers of [Reading.Read] get a reading that began after a moment of their choice, and share it.
//
// Decision: only one reading runs at a time. A caller that needs a reading that begins later than the running one waits for
// the next, together with all other such callers. Rejected: package singleflight, which hands out a reading that had begun
// before the call, and so may lack what the caller has written.
package latest

import (
	"context"
	"sync"
)

// Reading is the last reading of something. It is safe for concurrent use.
type Reading[T any] struct {
	turn   chan struct{}
	last   T // guarded by turn
	number int

	mu    sync.Mutex
	begun int // how many readings have begun
}

// New returns a Reading of something that has not been read yet.
func New[T any]() *Reading[T] { return &Reading[T]{turn: make(chan struct{}, 1)} }

// Mark returns the number of the last reading that has begun. Readings with greater numbers begin later than the call.
func (r *Reading[T]) Mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

// Read returns a reading that began after the reading with number after: the last one if it is fresh, or a new one.
// Errors are those of read and of ctx. A reading that failed is not shared.
func (r *Reading[T]) Read(ctx context.Context, after int, fresh func(T) bool, read func() (T, error)) (T, error) {
	var none T
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	defer func() { <-r.turn }()
	if r.number > after && fresh(r.last) {
		return r.last, nil
	}
	r.mu.Lock()
	r.begun++
	number := r.begun
	r.mu.Unlock()
	now, err := read()
	if err != nil {
		return none, err
	}
	r.last, r.number = now, number
	return now, nil
}
