package purge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// maxShared is the age up to which one reading of the cluster serves several repositories.
const maxShared = time.Second

// shared is the last reading of something, of the cluster or of what workloads run. One is made at a time; who needs one
// that begins later than the one under way waits for the next, with all others that do.
type shared[T any] struct {
	turn   chan struct{}
	last   T // by whose turn it is
	number int

	mu    sync.Mutex
	begun int // readings, so far
}

func newShared[T any]() *shared[T] { return &shared[T]{turn: make(chan struct{}, 1)} }

// mark is the number of the last reading that was begun.
func (s *shared[T]) mark() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// read returns a reading that was begun after another one, the last if it is fresh.
func (s *shared[T]) read(ctx context.Context, after int, fresh func(T) bool, read func() (T, error)) (T, error) {
	var none T
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	defer func() { <-s.turn }()
	if s.number > after && fresh(s.last) {
		return s.last, nil
	}
	s.mu.Lock()
	s.begun++
	number := s.begun
	s.mu.Unlock()
	now, err := read()
	if err != nil {
		return none, err
	}
	s.last, s.number = now, number
	return now, nil
}

// moment is between two readings, of the cluster and of what workloads run.
type moment struct{ cluster, running int }

// mark is now: what is read after it was begun after it.
func (s *sweeper) mark() moment { return moment{s.shared.mark(), s.running.mark()} }

// cluster reads the cluster, unless a reading that was begun after a moment was made just now. Entries that are
// not claimed keep.
func (s *sweeper) cluster(ctx context.Context, after moment) (*cluster, error) {
	run, err := s.runs(ctx, after.running, maxRunning)
	if err != nil {
		return nil, err
	}
	fresh := func(c *cluster) bool { return s.clock.Since(c.begun) < maxShared && !run.newer(c.running) }
	c, err := s.shared.read(ctx, after.cluster, fresh, func() (*cluster, error) {
		now, readErr := readCluster(ctx, s.api, s.clock, s.now, s.key, run)
		if readErr == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			now.lose(func(e entry) bool { return s.claims[claimOf(e)] && e.status.State == v1alpha1.TombstoneSweeping })
		}
		return &now, readErr
	})
	if err == nil {
		err = c.refusal
	}
	return c, err
}

// clusterOf is cluster, with a look by its name at the manifest that keeps what is in one of its repositories.
// One that is not listed may have been applied just then, so the cluster is read once more.
func (s *sweeper) clusterOf(ctx context.Context, manifest string, after moment) (*cluster, error) {
	c, err := s.cluster(ctx, after)
	if err != nil || c.asked.has(manifest) {
		return c, err
	}
	err = c.unlisted(ctx, s.api, s.key.Namespace, manifest)
	if errors.Is(err, errContradiction) {
		if c, err = s.cluster(ctx, moment{s.shared.mark(), after.running}); err == nil {
			err = c.unlisted(ctx, s.api, s.key.Namespace, manifest)
		}
	}
	if err == nil {
		c.asked.add(manifest)
	}
	return c, err
}

// nameSet is a set of names that is safe for concurrent use.
type nameSet struct {
	mu  sync.Mutex
	all map[string]bool
}

func (n *nameSet) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[name]
}

func (n *nameSet) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[name] = true
}
