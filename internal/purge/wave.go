package purge

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// waveTime is how long it is meant to take from the claims of a wave to its last deletion. A restore may wait about
	// twice as long, and what turns out to be needed is missing for as long.
	waveTime = time.Second
	// firstWork is the work of the first waves for each request at the same time, moreWork how many times that
	// of a wave a later one may have, and maxWork what none has more of, unless one manifest has.
	firstWork, moreWork, maxWork = 4, 4, 1024
)

// wave is the sweep of a unit.
type wave struct {
	*sweeper
	unit
	errs  *failures
	pace  *pace
	start time.Time
	// before is closed when the wave before has been looked after, and looked when this one has.
	before, looked chan struct{}

	visits   []*visit
	deleting errgroup.Group
}

// begin claims the unit's tombstones and begins to delete what may go, in as many repositories at the same time as there
// is room for. It returns when the last of them has been begun.
func (w *wave) begin(ctx context.Context) {
	w.start = time.Now()
	if len(w.deletions) == 0 {
		return
	}
	// Before the claims, because it may take seconds, and what is claimed cannot be restored.
	if _, err := w.runs(ctx, 0, maxRunning/2); err != nil {
		w.errs.add(w.failed(err, "the store"))
		return
	}
	w.errs.add(w.claim(ctx, w.unit))
	// What was read of the cluster before the claims does not count.
	claimed := moment{cluster: w.shared.mark()}
	for _, repository := range slices.Sorted(maps.Keys(w.deletions)) {
		v := &visit{sweeper: w.sweeper, repository: repository, claimed: claimed, before: w.before, todo: w.deletions[repository], waits: maxWaits, gone: map[digest.Digest]registry.Manifest{}}
		if v.enter(ctx) != nil || w.isOver() {
			v.leave()
			break
		}
		w.visits = append(w.visits, v)
		w.deleting.Go(func() error {
			defer v.leave()
			w.errs.add(w.failed(v.delete(ctx), repository))
			return nil
		})
	}
}

// end looks at what the deletions have left, and settles the unit. One reading of the cluster serves all looks.
func (w *wave) end(ctx context.Context) {
	if len(w.visits) > 0 {
		w.pace.took(w.work, time.Since(w.start))
	}
	var looking errgroup.Group
	looking.SetLimit(cap(w.reader.slots))
	deleted := w.mark() // manifests may have been applied since, and pods begun
	for _, v := range w.visits {
		looking.Go(func() error {
			w.errs.add(w.failed(v.verify(ctx, deleted), v.repository))
			w.reader.forget(v.repository)
			return nil
		})
	}
	_ = looking.Wait()
	close(w.looked)
	w.errs.add(w.settle(ctx, w.unit))
}

// pace is how much work a wave may have, by how long those before it took. It is safe for concurrent use.
type pace struct {
	mu   sync.Mutex
	next int
}

func newPace(requests int) *pace { return &pace{next: firstWork * requests} }

// work is the work of the next wave.
func (p *pace) work() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

// took notes how long a wave took that had so much work.
func (p *pace) took(had int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = nextWork(had, p.next, took)
}

// nextWork is the work of the next wave when one was to have so much, and took so long for what it had.
func nextWork(had, work int, took time.Duration) int {
	inTime := float64(had) * float64(waveTime) / float64(max(took, 1))
	return max(1, int(min(maxWork, float64(moreWork*work), inTime)))
}
