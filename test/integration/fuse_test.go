package integration

import (
	"errors"
	"net/http"
	"strings"
	"sync"
)

var errCrashed = errors.New("the process has crashed")

// fuse simulates a crash at a chosen write, to the API server or the registry: before that write
// is sent, or after it was done and before its answer is read. From then on every request fails.
type fuse struct {
	after bool
	blown chan struct{}

	mu   sync.Mutex
	left int
	dead bool
}

func newFuse(n int, after bool) *fuse {
	return &fuse{left: n, after: after, blown: make(chan struct{})}
}

// counts reports whether a request is a step: a write, except of events and leases, whose number depends on time.
func counts(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	return !strings.Contains(r.URL.Path, "/events") && !strings.Contains(r.URL.Path, "/leases")
}

// take reports whether the request may be sent, and whether the process crashes at it.
func (f *fuse) take(r *http.Request) (send, end bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return false, false
	}
	if !counts(r) {
		return true, false
	}
	if f.left > 0 {
		f.left--
		return true, false
	}
	f.dead = true
	return f.after, true
}

// wrap returns a transport with the fuse. The transports to the API server and the registry share one fuse.
func (f *fuse) wrap(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		send, end := f.take(r)
		if end {
			defer close(f.blown)
		}
		if !send {
			return nil, errCrashed
		}
		resp, err := base.RoundTrip(r)
		if end && err == nil {
			return nil, errors.Join(errCrashed, resp.Body.Close())
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
