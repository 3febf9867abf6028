package sweep

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// maxWaveTime is the target for the time of a wave's deletions where its preparation takes longer than waveTime.
	maxWaveTime = 2 * time.Second
	// waveTime is the target for the time of a wave's deletions. A restore waits for that time, for the
	// preparation and for the verification, and a deleted digest that turns out to be needed is missing for as long.
	waveTime = time.Second
	// leastWork is the least work of the first wave, for each parallel request. The first wave
	// has 1/firstShare of the requests that the registry answers in waveTime, if that is more
	// work: a piece of work takes up to three requests, and a deletion takes longer than a read.
	leastWork, firstShare = 4, 8
	// moreWork is the factor by which the work of the first wave may exceed the least work, and the work of
	// a wave that of the one before. maxWork is the most work of a wave that has more than one manifest.
	moreWork, maxWork = 4, 1024
)

// wave is the sweep of a unit.
type wave struct {
	*sweeper
	unit
	errs *failures
	// before is closed when the wave before has been verified, and verified when this wave has been.
	before, verified chan struct{}

	visits []*visit
	// prepared is when everything was claimed and read that the deletions need.
	prepared time.Time
}

// delete claims the unit's tombstones and deletes what may be deleted,
// in as many repositories at the same time as there is room for.
func (w *wave) delete(ctx context.Context) {
	if len(w.deletions) == 0 {
		return
	}
	// Before the claims, because reading workloads may take seconds, and claimed entries cannot be restored.
	if _, err := w.runs(ctx, 0, maxRunning/2); err != nil {
		w.errs.add(w.failed(err, "the store"))
		return
	}
	w.errs.add(w.claim(ctx, w.unit))
	// Readings of the cluster from before the claims do not count.
	claimed := moment{cluster: w.shared.Mark()}
	if err := w.prepare(ctx, claimed); err != nil {
		w.errs.add(w.failed(err, "the store"))
		for _, todo := range w.deletions {
			w.keepRest(ctx, todo, err)
		}
		return
	}
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

// prepare reads the cluster for all visits. It returns an error if that takes too long. Visits return all other errors.
func (w *wave) prepare(ctx context.Context, claimed moment) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxEvidence, errSlowCluster)
	defer cancel()
	_, err := w.cluster(ctx, claimed)
	w.prepared = time.Now()
	if err != nil && errors.Is(context.Cause(ctx), errSlowCluster) {
		return errSlowCluster
	}
	return nil
}

// end verifies what remains after the deletions, and settles the unit. One reading of the cluster serves all repositories.
func (w *wave) end(ctx context.Context) {
	var looking errgroup.Group
	looking.SetLimit(w.reader.Requests())
	deleted := w.mark() // manifests may have been applied and pods started since the evidence was read
	for _, v := range w.visits {
		looking.Go(func() error {
			w.errs.add(w.failed(v.verify(ctx, deleted), v.repository))
			w.reader.Forget(v.repository)
			return nil
		})
	}
	_ = looking.Wait()
	close(w.verified)
	w.errs.add(w.settle(ctx, w.unit))
}

// firstWork returns the work of the first wave at a registry that gets
// atOnce requests in parallel and answers inTime requests in waveTime.
func firstWork(atOnce, inTime int) int {
	least := leastWork * atOnce
	return min(max(least, inTime/firstShare), moreWork*least)
}

// nextWork returns the work of the next wave. had is the work that the last wave had, work the most that it might have had,
// and took the time of its deletions. Its preparation takes about as long for less work, so deletions may take as long as it.
func nextWork(had, work int, preparation, took time.Duration) int {
	target := min(max(waveTime, preparation), maxWaveTime)
	inTime := float64(had) * float64(target) / float64(max(took, 1))
	return max(1, int(min(maxWork, float64(moreWork*work), inTime)))
}
