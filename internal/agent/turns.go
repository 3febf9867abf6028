package agent

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/nfo-operator/nfo/internal/share"
)

var errBusy = errors.New("the agent of this node is busy")

// turns bounds a number of concurrent operations. Everybody who can create a pod can
// choose an origin, which may be arbitrarily slow. Therefore a quarter of all turns is
// never used for origins, and one origin has at most half of the others.
type turns struct {
	all, origins *semaphore.Weighted
	// hosts has the turns of each origin with turns that are in use or waited for.
	hosts *share.Shares[string, *semaphore.Weighted]
}

func newTurns(most int64) *turns {
	origins := most - most/4
	return &turns{
		all: semaphore.NewWeighted(most), origins: semaphore.NewWeighted(origins),
		hosts: share.New[string](func() *semaphore.Weighted { return semaphore.NewWeighted((origins + 1) / 2) }),
	}
}

// enter waits for a turn to ask the registry.
func (t *turns) enter(ctx context.Context) (leave func(), err error) {
	if t.all.Acquire(ctx, 1) != nil {
		return nil, errBusy
	}
	return func() { t.all.Release(1) }, nil
}

// enterFor waits for a turn to ask an origin. It takes one of the origin's turns first and one of all turns last, so
// that a waiting request does not occupy turns that other origins wait for.
func (t *turns) enterFor(ctx context.Context, host string) (leave func(), err error) {
	own, done := t.hosts.Take(host)
	var taken []*semaphore.Weighted
	leave = func() {
		for _, s := range taken {
			s.Release(1)
		}
		done()
	}
	for _, s := range []*semaphore.Weighted{own, t.origins, t.all} {
		if s.Acquire(ctx, 1) != nil {
			leave()
			return nil, fmt.Errorf("%w: it has no turn for this origin", errBusy)
		}
		taken = append(taken, s)
	}
	return leave, nil
}
