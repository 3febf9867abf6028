// Package apitime returns the time of the API server, so that times in objects are compared with the
// clock that wrote them, not with the clock of the node on which the program happens to run.
//
// Decision: the time is read from the Date header of the API server's ordinary answers. Rejected: the
// creationTimestamp of an object made for that purpose, because it costs a write. Rejected: to trust NTP, because
// a node whose clock is a day ahead would end every grace period a day early.
package apitime

import (
	"net/http"
	"sync"
	"time"
)

const (
	// MaxSkew is the maximum difference between the two clocks up to which times are trusted.
	MaxSkew = time.Minute
	// window is how long an answer is used, because the clocks may drift or be set.
	window = 10 * time.Minute
	// resolution is the resolution of a Date header.
	resolution = time.Second
)

// Clock measures how far the API server's clock is ahead of this host's clock. The zero Clock
// assumes that both are equal until it has seen an answer. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	// low and high bound the offset, according to the answers since began.
	low, high time.Duration
	began     time.Time
	known     bool
	// worst is the largest skew since since, and before the largest skew in the window before that.
	worst, before time.Duration
	since         time.Time
}

// Wrap returns a transport that reads the time from every answer.
func (c *Clock) Wrap(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		sent := time.Now()
		resp, err := base.RoundTrip(req)
		if err == nil {
			if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
				c.observe(sent, time.Now(), date)
			}
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// observe uses the date of an answer whose request was sent and which arrived at the given times of this host.
func (c *Clock) observe(sent, arrived, date time.Time) {
	// The server wrote the date between the two, and truncated it to the second.
	low, high := date.Sub(arrived.Round(0)), date.Add(resolution).Sub(sent.Round(0))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && arrived.Sub(c.began) < window && max(low, c.low) <= min(high, c.high) {
		c.low, c.high = max(low, c.low), min(high, c.high)
	} else { // the first answer, or the clocks have changed
		c.low, c.high, c.began, c.known = low, high, arrived, true
	}
	c.remember(arrived)
}

// remember adds the present skew to those of its window, and drops what is older than the window before.
func (c *Clock) remember(now time.Time) {
	switch passed := now.Sub(c.since); {
	case passed >= 2*window:
		c.worst, c.before, c.since = 0, 0, now
	case passed >= window:
		c.worst, c.before, c.since = 0, c.worst, c.since.Add(window)
	}
	c.worst = max(c.worst, c.offset().Abs())
}

// offset returns the smallest offset that agrees with the answers,
// so that two clocks that agree to the second count as equal.
func (c *Clock) offset() time.Duration {
	switch {
	case !c.known, c.low <= 0 && c.high >= 0:
		return 0
	case c.low > 0:
		return c.low
	}
	return c.high
}

// Now returns the API server's time.
func (c *Clock) Now() time.Time { return c.At(time.Now()) }

// At returns the time of the API server's clock when this host's clock showed t.
func (c *Clock) At(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.offset())
}

// Skew returns the largest difference between the two clocks that the answers of the last 10 to 20 minutes have shown.
func (c *Clock) Skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.worst, c.before)
}
