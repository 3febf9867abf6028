package wire

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

const (
	// maxTries is how often a request is sent at most, the first time included.
	maxTries = 4
	// firstWait is before the second try. Each further wait is twice as long, plus up to a half at random.
	firstWait = 100 * time.Millisecond
	// maxWait: if a registry asks for a longer wait, the request fails and the caller retries later.
	maxWait = 30 * time.Second
	// maxAsked is the longest wait that is taken from a Retry-After header. A longer one may be wrong, or hostile.
	maxAsked = 5 * time.Minute
	// readWindow is from the first try of a read to the last.
	readWindow = time.Minute
	// writeWindow is from the first try of a write to the last (I3).
	writeWindow = 5 * time.Second
)

// ErrNotSent is wrapped if the time until which a request could be sent has passed; see BeginBefore.
var ErrNotSent = errors.New("not sent in time")

type beginBefore struct{}

// BeginBefore returns a context under which no request is sent or repeated after t. The client waits for an answer
// until ctx ends, even after t, because the registry carries out a request even if the client stops waiting.
func BeginBefore(ctx context.Context, t time.Time) context.Context {
	return context.WithValue(ctx, beginBefore{}, t)
}

// tooLate reports whether a request may no longer be sent after a wait.
func tooLate(ctx context.Context, wait time.Duration) bool {
	t, ok := ctx.Value(beginBefore{}).(time.Time)
	return ok && time.Until(t) < wait
}

// retrier repeats a request where that is safe.
//
// It repeats a read after 408, 429, 500, 502, 503, 504 and a broken connection. It repeats a write
// only after 429, which says that the write was not done, and only within writeWindow. After any
// other failure the write may have been done: a repeated DELETE of a tag could remove a tag that
// has been pushed since. The caller must read the state again before it repeats such a write.
type retrier struct{ base http.RoundTripper }

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, started := req.Context(), time.Now()
	for try := 1; ; try++ {
		if tooLate(ctx, 0) {
			return nil, ErrNotSent
		}
		resp, err := r.base.RoundTrip(req)
		wait, again := next(req, resp, err, try, started)
		if !again {
			return resp, err
		}
		repeat, ok := rewound(req)
		if !ok {
			return resp, err
		}
		if resp != nil {
			Discard(resp)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
		req = repeat
	}
}

// rewound returns a copy of req whose body starts from the
// beginning. It returns false if the body cannot be read again.
func rewound(req *http.Request) (*http.Request, bool) {
	repeat := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return repeat, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	repeat.Body = body
	return repeat, err == nil
}

// next reports whether to send req again, and after which wait. It returns false if the wait would end after
// the window or after the caller's deadline, because the present answer says more than a timeout would.
func next(req *http.Request, resp *http.Response, err error, try int, started time.Time) (time.Duration, bool) {
	if try >= maxTries || req.Context().Err() != nil || !repeatable(req.Method, resp, err) {
		return 0, false
	}
	wait := firstWait << (try - 1)
	wait += rand.N(wait / 2)
	if resp != nil {
		wait = max(wait, retryAfter(resp.Header.Get("Retry-After")))
	}
	window := writeWindow
	if IsRead(req.Method) {
		window = readWindow
	}
	if tooLate(req.Context(), wait) || wait > maxWait || time.Since(started)+wait > window {
		return 0, false
	}
	if deadline, ok := req.Context().Deadline(); ok && time.Until(deadline) < wait {
		return 0, false
	}
	return wait, true
}

// IsRead reports whether a request only reads.
func IsRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func repeatable(method string, resp *http.Response, err error) bool {
	if resp != nil && resp.StatusCode == http.StatusTooManyRequests {
		return true
	}
	if !IsRead(method) {
		return false
	}
	if err != nil {
		return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads both forms of the header (RFC 9110, 10.2.3). It
// returns 0 if the header is missing or invalid, and at most maxAsked.
func retryAfter(value string) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		// The bound comes before the multiplication, which could overflow.
		wait = time.Duration(min(max(seconds, 0), int(maxAsked/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxAsked)
}

// Discard closes the body of an answer. It first reads a short remainder, so that
// the connection can be reused. For a long one, a new connection is cheaper.
func Discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBytes)
	_ = resp.Body.Close()
}
