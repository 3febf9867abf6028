// Package apitime tells the time of the API server, so that times of objects are compared with the
// clock that wrote them, not with that of the node on which the program happens to run.
//
// Decision: the time is read from the Date header of the API server's ordinary answers. Rejected: the
// creationTimestamp of an object made for that purpose, which costs a write, and trusting NTP, which
// lets a node that is a day ahead end every grace period a day early.
package apitime

import (
	"net/http"
	"sync"
	"time"
)

const (
	// MaxSkew is the difference between the two clocks up to which times are trusted.
	MaxSkew = time.Minute
	// window is how long an answer counts: the clocks may drift or be set.
	window = 10 * time.Minute
	// resolution of a Date header.
	resolution = time.Second
)

// Clock knows how far the API server's clock is ahead of this host's. The zero Clock takes the two
// for equal until it has seen an answer. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	// The offset lies between these, as far as the answers since began show.
	low, high time.Duration
	began     time.Time
	known     bool
	worst     time.Duration // the largest skew since began
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

// observe takes an answer into account that was asked for and arrived at these times of this host.
func (c *Clock) observe(sent, arrived, date time.Time) {
	// The server wrote the date between the two, and cut it to the second.
	low, high := date.Sub(arrived.Round(0)), date.Add(resolution).Sub(sent.Round(0))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && arrived.Sub(c.began) < window && max(low, c.low) <= min(high, c.high) {
		c.low, c.high = max(low, c.low), min(high, c.high)
	} else { // the first one, or the clocks have moved
		if arrived.Sub(c.began) >= window {
			c.worst = 0
		}
		c.low, c.high, c.began, c.known = low, high, arrived, true
	}
	c.worst = max(c.worst, c.offset().Abs())
}

// offset is the smallest one that agrees with the answers, so that two clocks which agree to the
// second are taken for equal.
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

// At returns what the API server's clock showed when this host's showed t.
func (c *Clock) At(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.offset())
}

// Skew returns the largest difference between the two clocks that answers have shown within the last
// 10 to 20 minutes.
func (c *Clock) Skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.worst
}
