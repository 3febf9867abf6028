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
	// A request is sent at most so often.
	maxTries = 4
	// The first wait between tries; it doubles, plus up to a half at random.
	firstWait = 100 * time.Millisecond
	// A registry that asks for a longer wait gets it from the caller's queue, not from here.
	maxWait = 30 * time.Second
	// What a registry asks for beyond this is cut: it may be wrong, or hostile.
	maxAsked = 5 * time.Minute
	// From the first try of a read to the last.
	readWindow = time.Minute
	// From the first try of a write to the last (I3).
	writeWindow = 5 * time.Second
)

// ErrNotSent is wrapped when the time until which a request could be sent was over; see BeginBefore.
var ErrNotSent = errors.New("not sent in time")

type beginBefore struct{}

// BeginBefore returns a context under which no request is sent, for the first time or again, after
// t. Its answer is waited for as long as ctx lasts: who stops waiting does not stop the registry.
func BeginBefore(ctx context.Context, t time.Time) context.Context {
	return context.WithValue(ctx, beginBefore{}, t)
}

// tooLate reports whether a request may not be sent any more after a wait.
func tooLate(ctx context.Context, wait time.Duration) bool {
	t, ok := ctx.Value(beginBefore{}).(time.Time)
	return ok && time.Until(t) < wait
}

// retrier sends again what may be sent again.
//
// A read is repeated after 408, 429, 5xx and a broken connection. A write is repeated only
// after 429, which says that it was not done, and only within writeWindow. Every other
// failure of a write may come after it was done: a DELETE of a tag that is sent again blindly
// could remove the tag that somebody has pushed since. Its caller reads again first.
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

// rewound returns req with its body from the start.
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

// next says whether to send req again and after what wait. A wait that would end after the
// window or the caller's deadline is not begun: the answer at hand says more than a timeout.
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

// retryAfter reads the header in both its forms (RFC 9110, 10.2.3); 0 when none exists.
func retryAfter(value string) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		// Cut before the product, which could overflow.
		wait = time.Duration(min(max(seconds, 0), int(maxAsked/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxAsked)
}

// Discard closes an answer. A short rest is read first, so that the connection can be used
// again; a long one is not worth it.
func Discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBytes)
	_ = resp.Body.Close()
}
