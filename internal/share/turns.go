package share

import (
	"context"
	"errors"
)

// ErrFull is returned by Turns.Take if too many already wait.
var ErrFull = errors.New("too many wait already")

// Turns bounds how many use something at the same time, and how many wait for that.
type Turns struct{ taken, waiting chan struct{} }

// NewTurns returns Turns for at most atOnce users at a time. At most waiting others wait.
func NewTurns(atOnce, waiting int) Turns {
	return Turns{make(chan struct{}, atOnce), make(chan struct{}, waiting)}
}

// Take takes a turn. If none is free, it waits until ctx ends, or returns ErrFull at
// once if too many wait. After a nil error, the caller must call Return exactly once.
func (t Turns) Take(ctx context.Context) error {
	select {
	case t.taken <- struct{}{}:
		return nil
	default:
	}
	select {
	case t.waiting <- struct{}{}:
		defer func() { <-t.waiting }()
	default:
		return ErrFull
	}
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Return gives a turn back.
func (t Turns) Return() { <-t.taken }

// AtOnce returns how many may have a turn at the same time.
func (t Turns) AtOnce() int { return cap(t.taken) }

// Waiting returns how many may wait for a turn.
func (t Turns) Waiting() int { return cap(t.waiting) }
