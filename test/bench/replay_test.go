package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// bare sends the requests alone: without retries, login or parsing of answers.
var bare = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}, Timeout: time.Minute}

// seen is a request that was sent.
type seen struct{ method, path, accept string }

// kind returns the column of the request in a table.
func (s seen) kind() string {
	switch {
	case strings.Contains(s.path, "/tags/list"):
		return "list"
	case strings.Contains(s.path, "/blobs/"):
		return s.method + " blob"
	}
	return s.method
}

// recorder records the requests that pass through it, in the order in which they begin.
type recorder struct {
	mu       sync.Mutex
	requests []seen
	took     map[string]time.Duration // by kind, added up
	open     int
	since    time.Time     // when open was last 0
	busy     time.Duration // how long at least one request was open
}

func newRecorder() *recorder { return &recorder{took: map[string]time.Duration{}} }

// reset forgets the recorded requests.
func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.busy = nil, 0
	clear(r.took)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (r *recorder) wrap(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		s := seen{req.Method, req.URL.RequestURI(), req.Header.Get("Accept")}
		start := r.begin(s)
		resp, err := base.RoundTrip(req)
		r.end(s, start)
		return resp, err
	})
}

func (r *recorder) begin(s seen) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, s)
	now := time.Now()
	if r.open == 0 {
		r.since = now
	}
	r.open++
	return now
}

func (r *recorder) end(s seen, start time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.took[s.kind()] += now.Sub(start)
	if r.open--; r.open == 0 {
		r.busy += now.Sub(r.since)
	}
}

// perKind returns the number of requests for each of n digests, by kind.
func (r *recorder) perKind(n int) string {
	counts := map[string]int{}
	for _, s := range r.requests {
		counts[s.kind()]++
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		kinds = append(kinds, fmt.Sprintf("%s %.2f", kind, float64(counts[kind])/float64(n)))
	}
	return strings.Join(kinds, ", ")
}

// times returns how long the requests took, by kind.
func (r *recorder) times() string {
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(r.took)) {
		kinds = append(kinds, fmt.Sprintf("%s %s", kind, r.took[kind].Round(time.Millisecond)))
	}
	return strings.Join(kinds, ", ")
}

// only returns the requests with a method.
func (r *recorder) only(method string) []seen {
	var some []seen
	for _, s := range r.requests {
		if s.method == method {
			some = append(some, s)
		}
	}
	return some
}

// replay sends requests in their order, with at most atOnce at a time, and returns
// how long they took. It fails unless the expected number of them deleted something.
func replay(ctx context.Context, host string, requests []seen, deletes int) (time.Duration, error) {
	var next, deleted atomic.Int64
	var g errgroup.Group
	start := time.Now()
	for range atOnce {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(requests)); i = next.Add(1) - 1 {
				done, err := send(ctx, host, requests[i])
				if err != nil {
					return err
				}
				if done {
					deleted.Add(1)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	took := time.Since(start)
	if n := int(deleted.Load()); err == nil && n != deletes {
		err = fmt.Errorf("the bare client deleted %d digests, not %d", n, deletes)
	}
	return took, err
}

// send sends a request, and reports whether it deleted something.
func send(ctx context.Context, host string, s seen) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, s.method, "http://"+host+s.path, nil)
	if err != nil {
		return false, err
	}
	if s.accept != "" {
		req.Header.Set("Accept", s.accept)
	}
	res, err := bare.Do(req)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close() // it was read
	return s.method == http.MethodDelete && res.StatusCode == http.StatusAccepted, err
}
