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

// requestBody is a response body that is sent as the body of another request. It is closed by its opener and
// also by the transport, which may still be reading it after the answer has arrived. The bodies of oras support
// neither two closes nor a close during a read. requestBody closes the body once and never during a read: a read
// in progress closes it when the read ends, at the latest when the context ends with which the body was opened.
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
		_ = b.body.Close() // the body was only read, so the error does not matter
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

// paced is a body whose reading fails unless stallBytes, or the whole rest, are read within each period of stall.
type paced struct {
	io.ReadCloser
	stall   time.Duration
	timer   *time.Timer
	end     context.CancelFunc // ends a read in progress
	failed  func() error
	moved   int
	stalled atomic.Bool
}

// newPaced starts the first period of a body. If stall is 0, there is no time limit.
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

// Read reads, and starts a new period whenever stallBytes have been read.
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

// Close ends the period, and a read in progress.
func (p *paced) Close() error {
	if p.timer != nil {
		p.timer.Stop()
	}
	err := p.ReadCloser.Close()
	p.end()
	return err
}

// errStalled is the error of a blob that is read too slowly.
var errStalled = errors.New("a blob stands still: fewer than 64 KiB of it have moved within the time that is given")

// stallBytes is how much of a blob must be read within each period of stall, in bytes.
const stallBytes = 64 << 10
