package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"k8s.io/utils/clock"
)

const (
	// goodFor is how long a positive answer of the API server counts, from before it was asked.
	goodFor = 10 * time.Second
	// badFor is how long a negative answer or an error counts. It is short, so that a right that has just been
	// granted counts soon.
	badFor = 2 * time.Second
	// maxGood and maxBad bound how many answers of each kind are kept. They are kept apart, so that wrong tokens
	// cannot displace right ones.
	maxGood, maxBad = 4096, 1024
	// maxAtOnce bounds the questions that are at the API server at the same time.
	maxAtOnce = 16
	// maxWaiting bounds the questions that wait for their turn or an answer.
	maxWaiting = 256
	// askLimit bounds one question, and how long it waits for its turn.
	askLimit = 5 * time.Second
	// knownFor is how long something is known after its last good answer has expired. More questions about what is known
	// are asked and wait beside all others, so that wrong tokens do not keep right ones from being asked about.
	knownFor                        = 10 * time.Minute
	maxKnownAtOnce, maxKnownWaiting = 4, 64
)

// errBusy means that too many questions wait already.
var errBusy = fmt.Errorf("more than %d questions wait for the API server", maxWaiting)

// answers asks the API server, keeps its answers for a short time, and asks the same question once at a time. It is
// safe for concurrent use.
type answers[K comparable, V any] struct {
	clock clock.PassiveClock
	limit time.Duration
	turns chan struct{}
	// known are turns that only what is known may take.
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

// get returns a kept answer, or asks. ask says whether its answer is a positive one. Errors are those of ask, errBusy,
// and ctx's when the caller gives up.
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

// join finds a kept answer or the same question, or begins to ask.
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

// kept returns an answer that still counts.
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

// isNew reports whether get would ask about something that is not known.
func (a *answers[K, V]) isNew(key K) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, kept := a.kept(key)
	return !kept && !a.isKnown(key)
}

// ask waits for its turn, asks, and keeps the answer. It does not end with the request that began it, because others
// may wait for the same answer.
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

// turn runs do when fewer than maxAtOnce others run, or when one of the turns for what is known is free.
func (a *answers[K, V]) turn(ctx context.Context, known chan struct{}, do func() error) error {
	waiting, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
		return do()
	case known <- struct{}{}: // never, for what is not
		defer func() { <-known }()
		return do()
	case <-waiting.Done():
		return errors.New("the API server has not answered earlier questions in time")
	}
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// newRecent keeps the answers that were used last, at most so many, which is at least 1.
func newRecent[K comparable, V any](most int) *simplelru.LRU[K, V] {
	kept, err := simplelru.NewLRU[K, V](most, nil)
	if err != nil {
		panic(err)
	}
	return kept
}
