package lane

import (
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// Speeds knows which registries are slow. It remembers a store while its registry owes an
// answer, and for at least a minute after a slow answer. It is safe for concurrent use.
type Speeds struct {
	clock clock.PassiveClock

	mu     sync.Mutex
	stores map[types.UID]*speed
}

type speed struct {
	begun  map[int64]time.Time // the requests that have no answer yet
	serial int64
	slowAt time.Time // when an answer was last slow
}

// NewSpeeds makes an empty record.
func NewSpeeds(c clock.PassiveClock) *Speeds {
	return &Speeds{clock: c, stores: map[types.UID]*speed{}}
}

// slow reports whether a store's registry takes long to answer, now or within the last slowFor.
func (s *Speeds) slow(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.stores[uid]
	if of == nil {
		return false
	}
	now := s.clock.Now()
	for _, at := range of.begun {
		if now.Sub(at) > slowAfter {
			return true
		}
	}
	return of.wasSlow(now)
}

// begin records a request; calling end records its answer.
func (s *Speeds) begin(uid types.UID) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of(uid)
	of.serial++
	mine, at := of.serial, s.clock.Now()
	of.begun[mine] = at
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(of.begun, mine)
		if now := s.clock.Now(); now.Sub(at) > slowAfter {
			of.slowAt = now
		}
		if len(of.begun) == 0 && of.slowAt.IsZero() {
			delete(s.stores, uid)
		}
	}
}

// of returns the record of a store. When it makes a new one, it
// drops those of stores that are no longer slow. s.mu is held.
func (s *Speeds) of(uid types.UID) *speed {
	of := s.stores[uid]
	if of == nil {
		now := s.clock.Now()
		maps.DeleteFunc(s.stores, func(_ types.UID, of *speed) bool { return len(of.begun) == 0 && !of.wasSlow(now) })
		of = &speed{begun: map[int64]time.Time{}}
		s.stores[uid] = of
	}
	return of
}

// wasSlow reports whether an answer was slow within the last slowFor.
func (of *speed) wasSlow(now time.Time) bool {
	return !of.slowAt.IsZero() && now.Sub(of.slowAt) < slowFor
}

// Slow records that the registry of a store is slow although it
// answers, for example because its blobs arrive at a trickle.
func (s *Speeds) Slow(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(uid).slowAt = s.clock.Now()
}

// Timed returns a transport that measures how long the answers of a store's registry take.
func (s *Speeds) Timed(uid types.UID, next http.RoundTripper) http.RoundTripper {
	return timedTransport{speeds: s, uid: uid, next: next}
}

type timedTransport struct {
	speeds *Speeds
	uid    types.UID
	next   http.RoundTripper
}

func (t timedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	end := sync.OnceFunc(t.speeds.begin(t.uid))
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		end()
		return resp, err
	}
	resp.Body = timedBody{resp.Body, end}
	return resp, nil
}

// timedBody is the body of an answer, which ends when it is closed.
type timedBody struct {
	io.ReadCloser
	end func()
}

func (b timedBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
