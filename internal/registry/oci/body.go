package oci

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// requestBody is a response body that is sent on as the body of another request. Both the transport, which may
// still be reading it after the answer has come, and the one who opened it close it; the bodies of oras take
// neither at the same time. It is closed once, and never during a read: a read that is under way closes it
// when it ends, which it does at the latest with the context that the body was opened with.
type requestBody struct {
	body io.ReadCloser

	mu      sync.Mutex
	reading bool
	closed  bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.body.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading = false; b.closed {
		_ = b.body.Close() // it was only read, and nobody waits for the outcome
	}
	return n, err
}

func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	if b.closed = true; b.reading {
		return nil
	}
	return b.body.Close()
}

// paced is a body of which stallBytes have to move within a time, or the whole rest. It ends otherwise.
type paced struct {
	io.ReadCloser
	stall   time.Duration
	timer   *time.Timer
	end     context.CancelFunc // what ends a read that is under way
	failed  func() error
	moved   int
	stalled atomic.Bool
}

// newPaced begins the time of a body. Without one it only ends with the body.
func newPaced(body io.ReadCloser, stall time.Duration, end context.CancelFunc, failed func() error) *paced {
	p := &paced{ReadCloser: body, stall: stall, end: end, failed: failed}
	if stall > 0 {
		p.timer = time.AfterFunc(stall, func() {
			p.stalled.Store(true)
			end()
		})
	}
	return p
}

// Read reads, and begins a new time whenever enough has moved.
func (p *paced) Read(into []byte) (int, error) {
	n, err := p.ReadCloser.Read(into)
	switch {
	case p.timer == nil:
	case errors.Is(err, io.EOF):
		p.timer.Stop()
	case p.stalled.Load():
		return 0, p.failed()
	default:
		if p.moved += n; p.moved >= stallBytes {
			p.moved = 0
			p.timer.Reset(p.stall)
		}
	}
	return n, err
}

// Close ends the time, and a read that is under way.
func (p *paced) Close() error {
	if p.timer != nil {
		p.timer.Stop()
	}
	err := p.ReadCloser.Close()
	p.end()
	return err
}

// errStalled: a blob moves too slowly.
var errStalled = errors.New("a blob stands still: fewer than 64 KiB of it have moved within the time that is given")

// stallBytes is how much of a blob has to move within the time that it is given.
const stallBytes = 64 << 10
