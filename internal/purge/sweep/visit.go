package sweep

import (
	"context"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"

	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// visit is the sweep of one repository.
type visit struct {
	*sweeper
	repository string
	// claimed is when the claims were made.
	claimed moment
	// before is closed when the wave before has been looked after, which takes requests, too.
	before <-chan struct{}
	todo   []plan.Verdict

	taken  int64     // of the room
	latest *evidence // the last evidence
	waits  int       // how often the registry may still ask to wait

	// What follows is guarded by the sweeper's lock.

	// gone is what was deleted, or tried to be, until that is verified.
	gone map[digest.Digest]registry.Manifest
	// unanswered: the registry has not said what came of a deletion, and may do it yet.
	unanswered bool
}

// at is a digest of the repository.
func (v *visit) at(d digest.Digest) reading.Key {
	return reading.Key{Repository: v.repository, Digest: d}
}

// room is shared by the visits that run at the same time. A small repository takes one of its places, one
// that keeps all requests busy takes all: it is swept alone, so that evidence of it is read as fast as it can be.
type room struct {
	places *semaphore.Weighted
	all    int64
}

// newRoom has two places for a request: while one visit reads the cluster, another one asks the registry.
func newRoom(requests int) *room {
	all := int64(2 * requests)
	return &room{semaphore.NewWeighted(all), all}
}

// requestsOfAPlace is how many tags to resolve and digests to delete a visit may have for each of its places.
const requestsOfAPlace = 8

// enter waits for the places that the visit needs.
func (v *visit) enter(ctx context.Context) error {
	need := 1 + int64(len(v.todo)+v.readings[v.repository].NumTags())/requestsOfAPlace
	if need >= v.room.all {
		return v.takeAll(ctx)
	}
	return v.take(ctx, need)
}

// alone waits until no other visit runs, and reports whether others did. An error says why it was cut short.
func (v *visit) alone(ctx context.Context) (others bool, err error) {
	if v.taken == v.room.all {
		return false, nil
	}
	v.leave()
	return true, v.takeAll(ctx)
}

// takeAll takes the whole room once the wave before has been looked after: then nothing else is asked of the registry.
func (v *visit) takeAll(ctx context.Context) error {
	select {
	case <-v.before:
		return v.take(ctx, v.room.all)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *visit) take(ctx context.Context, places int64) error {
	if err := v.room.places.Acquire(ctx, places); err != nil {
		return err
	}
	v.taken = places
	return nil
}

func (v *visit) leave() {
	v.room.places.Release(v.taken)
	v.taken = 0
}

// delete deletes what may go, layer by layer: a digest only after all those that it is a part of.
func (v *visit) delete(ctx context.Context) error {
	defer v.linger(ctx)
	byDigest := make(map[digest.Digest]plan.Verdict, len(v.todo))
	for _, verdict := range v.todo {
		byDigest[verdict.Digest] = verdict
	}
	for _, layer := range v.readings[v.repository].Graph.Layers(slices.Collect(maps.Keys(byDigest))) {
		level := make([]plan.Verdict, len(layer))
		for i, d := range layer {
			level[i] = byDigest[d]
		}
		if err := v.deleteLevel(ctx, level); err != nil {
			v.keepRest(ctx, v.todo, err)
			return err
		}
	}
	return nil
}
