package sweep

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// waveTime is how long it is meant to take from the claims of a wave to its last deletion. A restore waits for that and
	// for the look at what is left, and what turns out to be needed is missing for as long.
	waveTime = time.Second
	// leastWork is the least work of the first wave, for each request at the same time. It has one in firstShare of the requests
	// that the registry answers in waveTime, if that is more: a piece of work takes up to three requests, and a deletion takes
	// longer than a read.
	leastWork, firstShare = 4, 8
	// moreWork is how many times the least work the first wave may have, and how many times the work of a wave the next one.
	// maxWork is what none has more of, unless one manifest has.
	moreWork, maxWork = 4, 1024
)

// wave is the sweep of a unit.
type wave struct {
	*sweeper
	unit
	errs *failures
	// before is closed when the wave before has been looked after, and looked when this one has.
	before, looked chan struct{}

	visits []*visit
}

// delete claims the unit's tombstones and deletes what may go, in as many repositories at the same time as there is room
// for.
func (w *wave) delete(ctx context.Context) {
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
	var deleting errgroup.Group
	for _, repository := range slices.Sorted(maps.Keys(w.deletions)) {
		v := &visit{sweeper: w.sweeper, repository: repository, claimed: claimed, before: w.before, todo: w.deletions[repository], waits: maxWaits, gone: map[digest.Digest]registry.Manifest{}}
		if v.enter(ctx) != nil || w.isOver() {
			v.leave()
			break
		}
		w.visits = append(w.visits, v)
		deleting.Go(func() error {
			defer v.leave()
			w.errs.add(w.failed(v.delete(ctx), repository))
			return nil
		})
	}
	_ = deleting.Wait() // the errors are in errs
}

// end looks at what the deletions have left, and settles the unit. One reading of the cluster serves all looks.
func (w *wave) end(ctx context.Context) {
	var looking errgroup.Group
	looking.SetLimit(w.reader.Requests())
	deleted := w.mark() // manifests may have been applied since, and pods begun
	for _, v := range w.visits {
		looking.Go(func() error {
			w.errs.add(w.failed(v.verify(ctx, deleted), v.repository))
			w.reader.Forget(v.repository)
			return nil
		})
	}
	_ = looking.Wait()
	close(w.looked)
	w.errs.add(w.settle(ctx, w.unit))
}

// firstWork is the work of the first wave at a registry that is sent so many requests at the same time, and answers so many in
// waveTime.
func firstWork(atOnce, inTime int) int {
	least := leastWork * atOnce
	return min(max(least, inTime/firstShare), moreWork*least)
}

// nextWork is the work of the next wave after one that had some of the work that it might have, and took a time for it.
func nextWork(had, work int, took time.Duration) int {
	inTime := float64(had) * float64(waveTime) / float64(max(took, 1))
	return max(1, int(min(maxWork, float64(moreWork*work), inTime)))
}
