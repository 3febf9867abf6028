package access

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"k8s.io/utils/clock"
)

const (
	// goodFor is how long a positive answer of the API server counts, measured from just before the question.
	goodFor = 10 * time.Second
	// badFor is how long a negative answer or an error counts. It
	// is short, so that a newly granted right takes effect soon.
	badFor = 2 * time.Second
	// maxGood and maxBad bound how many answers of each kind are cached. They
	// have separate caches, so that wrong tokens cannot displace valid ones.
	maxGood, maxBad = 4096, 1024
	// maxAtOnce bounds the concurrent questions to the API server.
	maxAtOnce = 16
	// maxWaiting bounds the questions that wait for a turn or an answer.
	maxWaiting = 256
	// askLimit bounds how long a question waits for its turn, and then how long it waits for its answer.
	askLimit = 5 * time.Second
	// knownFor is how long a key stays known after its last positive answer has expired. Questions about known keys
	// have additional turns and waiting places, so that wrong tokens do not prevent questions about valid ones.
	knownFor                        = 10 * time.Minute
	maxKnownAtOnce, maxKnownWaiting = 4, 64
)

// errBusy means that too many questions are waiting already, in total or of one address.
var errBusy = errors.New("too many questions wait for the API server")

// answers asks the API server, caches its answers for a short time, and asks
// the same question only once at a time. It is safe for concurrent use.
type answers[K comparable, V any] struct {
	clock clock.PassiveClock
	limit time.Duration
	turns chan struct{}
	// known has additional turns for questions about known keys.
	known chan struct{}

	mu        sync.Mutex
	good, bad *simplelru.LRU[K, answer[V]]
	asking    map[K]*question[V]
}

type answer[V any] struct {
	value V
	err   error
	until time.Time
}

type question[V any] struct {
	done chan struct{}
	answer[V]
}

func newAnswers[K comparable, V any](c clock.PassiveClock) *answers[K, V] {
	return &answers[K, V]{
		clock: c, limit: askLimit, asking: map[K]*question[V]{},
		turns: make(chan struct{}, maxAtOnce), known: make(chan struct{}, maxKnownAtOnce),
		good: newRecent[K, answer[V]](maxGood), bad: newRecent[K, answer[V]](maxBad),
	}
}

// get returns a cached answer, or asks. ask reports whether its answer is positive. Errors are those of ask, errBusy,
// or the error of ctx if the caller gives up.
func (a *answers[K, V]) get(ctx context.Context, key K, ask func(context.Context) (value V, good bool, err error)) (V, error) {
	q, err := a.join(ctx, key, ask)
	if err != nil {
		var none V
		return none, err
	}
	select {
	case <-q.done:
		return q.value, q.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// join returns a cached answer or a running question with the same key, or starts a question.
func (a *answers[K, V]) join(ctx context.Context, key K, ask func(context.Context) (V, bool, error)) (*question[V], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if found, ok := a.kept(key); ok {
		return &question[V]{done: closed, answer: found}, nil
	}
	if q, asked := a.asking[key]; asked {
		return q, nil
	}
	most, known := maxWaiting, (chan struct{})(nil)
	if a.isKnown(key) {
		most, known = maxWaiting+maxKnownWaiting, a.known
	}
	if len(a.asking) >= most {
		return nil, errBusy
	}
	q := &question[V]{done: make(chan struct{})}
	a.asking[key] = q
	go a.ask(context.WithoutCancel(ctx), key, q, known, ask)
	return q, nil
}

// kept returns a cached answer that has not expired.
func (a *answers[K, V]) kept(key K) (answer[V], bool) {
	now := a.clock.Now()
	for _, of := range []*simplelru.LRU[K, answer[V]]{a.good, a.bad} {
		if found, ok := of.Get(key); ok && now.Before(found.until) {
			return found, true
		}
	}
	return answer[V]{}, false
}

func (a *answers[K, V]) isKnown(key K) bool {
	last, ok := a.good.Peek(key)
	return ok && a.clock.Now().Before(last.until.Add(knownFor))
}

// isNew reports whether get would ask about a key that is not known.
func (a *answers[K, V]) isNew(key K) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, kept := a.kept(key)
	return !kept && !a.isKnown(key)
}

// ask waits for its turn, asks, and caches the answer. It does not end with the
// request that started it, because other requests may wait for the same answer.
func (a *answers[K, V]) ask(ctx context.Context, key K, q *question[V], known chan struct{}, ask func(context.Context) (V, bool, error)) {
	began, good := a.clock.Now(), false
	q.err = a.turn(ctx, known, func() (err error) {
		limited, cancel := context.WithTimeout(ctx, a.limit)
		defer cancel()
		began = a.clock.Now()
		q.value, good, err = ask(limited)
		return err
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if good && q.err == nil {
		q.until = began.Add(goodFor)
		a.good.Add(key, q.answer)
	} else {
		q.until = a.clock.Now().Add(badFor)
		a.bad.Add(key, q.answer)
	}
	delete(a.asking, key)
	close(q.done)
}

// turn runs do when fewer than maxAtOnce others run, or when an additional turn for known keys is free.
func (a *answers[K, V]) turn(ctx context.Context, known chan struct{}, do func() error) error {
	waiting, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
		return do()
	case known <- struct{}{}: // never ready if known is nil
		defer func() { <-known }()
		return do()
	case <-waiting.Done():
		return errors.New("the API server has not answered earlier questions in time")
	}
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// newRecent returns an LRU cache with at most size entries. It panics if size is not positive.
func newRecent[K comparable, V any](size int) *simplelru.LRU[K, V] {
	kept, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err)
	}
	return kept
}
