package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

var errBusy = errors.New("the agent of this node is busy")

// turns bounds how many do something at a time. Anybody who can make a pod chooses an origin, which may be as slow as it
// likes: a quarter of all turns is never for origins, and one of them has at most half of the others.
type turns struct {
	all, origins *semaphore.Weighted
	each         int64

	mu    sync.Mutex
	hosts map[string]*share
}

// share has the turns of one origin, as long as somebody has one of them or waits for it.
type share struct {
	*semaphore.Weighted
	users int
}

func newTurns(most int64) *turns {
	origins := most - most/4
	return &turns{
		all: semaphore.NewWeighted(most), origins: semaphore.NewWeighted(origins),
		each: (origins + 1) / 2, hosts: map[string]*share{},
	}
}

// enter waits for a turn to ask the registry.
func (t *turns) enter(ctx context.Context) (leave func(), err error) {
	if t.all.Acquire(ctx, 1) != nil {
		return nil, errBusy
	}
	return func() { t.all.Release(1) }, nil
}

// enterFor waits for a turn to ask an origin: first for one of that origin, last for one of all, so that who waits has
// nothing that others wait for.
func (t *turns) enterFor(ctx context.Context, host string) (leave func(), err error) {
	var taken []*semaphore.Weighted
	leave = func() {
		for _, s := range taken {
			s.Release(1)
		}
		t.unshare(host)
	}
	for _, s := range []*semaphore.Weighted{t.share(host), t.origins, t.all} {
		if s.Acquire(ctx, 1) != nil {
			leave()
			return nil, fmt.Errorf("%w: it has no turn for this origin", errBusy)
		}
		taken = append(taken, s)
	}
	return leave, nil
}

func (t *turns) share(host string) *semaphore.Weighted {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.hosts[host]
	if !ok {
		s = &share{Weighted: semaphore.NewWeighted(t.each)}
		t.hosts[host] = s
	}
	s.users++
	return s.Weighted
}

func (t *turns) unshare(host string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hosts[host].users--; t.hosts[host].users == 0 {
		delete(t.hosts, host)
	}
}
