package lane

import (
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// Speeds knows which registries are slow. It is safe for concurrent use.
type Speeds struct {
	clock clock.PassiveClock

	mu     sync.Mutex
	stores map[types.UID]*speed
}

type speed struct {
	begun  map[int64]time.Time // of the requests that have no answer yet
	serial int64
	slowAt time.Time // when an answer was slow last
}

// NewSpeeds makes an empty record.
func NewSpeeds(c clock.PassiveClock) *Speeds {
	return &Speeds{clock: c, stores: map[types.UID]*speed{}}
}

// slow reports whether a store's registry takes long to answer, now or a while ago.
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
	return !of.slowAt.IsZero() && now.Sub(of.slowAt) < slowFor
}

// begin notes a request, and end its answer.
func (s *Speeds) begin(uid types.UID) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.stores[uid]
	if of == nil {
		of = &speed{begun: map[int64]time.Time{}}
		s.stores[uid] = of
	}
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
	}
}

// Slow notes that the registry of a store is slow although it answers, such as one whose blobs trickle. One that was never
// asked is not noted.
func (s *Speeds) Slow(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.stores[uid]; of != nil {
		of.slowAt = s.clock.Now()
	}
}

// Forget drops a store that has gone.
func (s *Speeds) Forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stores, uid)
}

// Timed is a transport that tells how long the answers of a store's registry take.
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

// timedBody is an answer that ends when it is closed.
type timedBody struct {
	io.ReadCloser
	end func()
}

func (b timedBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
