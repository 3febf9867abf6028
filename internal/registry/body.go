package registry

import (
	"io"
	"net/http"
	"sync"
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
