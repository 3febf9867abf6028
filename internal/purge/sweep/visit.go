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
	// claimed is the moment at which the claims were made.
	claimed moment
	// before is closed when the wave before has been verified, which also takes requests.
	before <-chan struct{}
	todo   []plan.Verdict

	taken  int64     // places taken of the room
	latest *evidence // the last evidence
	waits  int       // how often the registry may still ask to wait

	// The following fields are guarded by the sweeper's lock.

	// gone are the digests whose deletion was tried, with their bytes, until they are verified.
	gone map[digest.Digest]registry.Manifest
	// unanswered is set when the registry has not answered a deletion and may still carry it out.
	unanswered bool
}

// at returns the key of a digest in the repository.
func (v *visit) at(d digest.Digest) reading.Key {
	return reading.Key{Repository: v.repository, Digest: d}
}

// room is shared by the visits that run at the same time. A small repository takes one of its places. A repository
// that keeps all requests busy takes all places and is swept alone, so that its evidence is read as fast as possible.
type room struct {
	places *semaphore.Weighted
	all    int64
}

// newRoom returns a room with two places for each request: while one visit reads the cluster, another one uses the registry.
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

// alone waits until no other visit runs, and reports whether others did. It returns an error if the context ended first.
func (v *visit) alone(ctx context.Context) (others bool, err error) {
	if v.taken == v.room.all {
		return false, nil
	}
	v.leave()
	return true, v.takeAll(ctx)
}

// takeAll takes the whole room once the wave before has been verified, so that the registry gets no other requests.
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

// delete deletes what may be deleted, layer by layer: a digest only after everything that it is a part of.
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
