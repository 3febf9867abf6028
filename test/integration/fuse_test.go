package integration

import (
	"errors"
	"net/http"
	"strings"
	"sync"
)

var errCrashed = errors.New("the process has crashed")

// fuse is a crash at a chosen write: before the nth write, to either side, is sent, or after it
// was done and before its answer is read. From then on nothing gets through any more.
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

// counts says which requests are steps: writes, but for those that come by the clock or tell of
// what was done.
func counts(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	return !strings.Contains(r.URL.Path, "/events") && !strings.Contains(r.URL.Path, "/leases")
}

// take reports whether the request may be sent, and whether this is where it ends.
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

// wrap is a transport that the fuse is in. Both sides of a process share one fuse.
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
