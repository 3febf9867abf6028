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
)

// errBusy means that too many questions wait already.
var errBusy = fmt.Errorf("more than %d questions wait for the API server", maxWaiting)

// answers asks the API server, keeps its answers for a short time, and asks the same question once at a time. It is
// safe for concurrent use.
type answers[K comparable, V any] struct {
	clock clock.PassiveClock
	limit time.Duration
	turns chan struct{}

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
		clock: c, limit: askLimit, turns: make(chan struct{}, maxAtOnce), asking: map[K]*question[V]{},
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
	now := a.clock.Now()
	for _, kept := range []*simplelru.LRU[K, answer[V]]{a.good, a.bad} {
		if found, ok := kept.Get(key); ok && now.Before(found.until) {
			return &question[V]{done: closed, answer: found}, nil
		}
	}
	if q, asked := a.asking[key]; asked {
		return q, nil
	}
	if len(a.asking) >= maxWaiting {
		return nil, errBusy
	}
	q := &question[V]{done: make(chan struct{})}
	a.asking[key] = q
	go a.ask(context.WithoutCancel(ctx), key, q, ask)
	return q, nil
}

// ask waits for its turn, asks, and keeps the answer. It does not end with the request that began it, because others
// may wait for the same answer.
func (a *answers[K, V]) ask(ctx context.Context, key K, q *question[V], ask func(context.Context) (V, bool, error)) {
	began, good := a.clock.Now(), false
	q.err = a.turn(ctx, func() (err error) {
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

// turn runs do when fewer than maxAtOnce others run.
func (a *answers[K, V]) turn(ctx context.Context, do func() error) error {
	waiting, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
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
