package purge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
)

// maxRunning is the age up to which a reading of what workloads run serves deletions. A reading of a large cluster takes
// seconds. What began to run since is found by the reading after the deletions, and put back.
const maxRunning = 2 * time.Minute

// runs reads what workloads run, unless a reading that was begun after another one is young enough.
func (s *sweeper) runs(ctx context.Context, after int, age time.Duration) (running, error) {
	fresh := func(r running) bool { return s.clock.Since(r.begun) < age }
	return s.running.read(ctx, after, fresh, func() (running, error) { return s.readRunning(ctx, s.planned.store) })
}

// readRunning reads what the workloads run that a store selects.
func (cfg Config) readRunning(ctx context.Context, store *v1alpha1.ArtifactStore) (running, error) {
	r := running{begun: cfg.Clock.Now(), generation: store.Generation}
	if store.Spec.Workloads == nil {
		return r, nil
	}
	if cfg.Workloads == nil {
		return r, fmt.Errorf("%w: %s: this program does not read what workloads run", ErrRefused, v1alpha1.ReasonWorkloadsUnreadable)
	}
	var err error
	if r.Reading, err = cfg.Workloads(ctx, store); err != nil {
		return r, fmt.Errorf("reading what workloads run: %w", err)
	}
	if err := r.Unreadable(); err != nil {
		return r, fmt.Errorf("%w: %s: %w", ErrRefused, v1alpha1.ReasonWorkloadsUnreadable, err)
	}
	return r, nil
}

// use says which workload keeps an entry, "" for none (I14).
func (e entry) use(r running) string {
	return r.Keeps(e.tombstone, e.TombstoneArtifact, e.movedOn())
}

// maxRoots bounds the digests that workloads name in one repository, each of which is a request. Where there are more, all stays.
const maxRoots = 1000

// run makes roots of the digests that workloads name in the repositories in which something may go.
func (c cluster) run() {
	for repository, entries := range c.entries {
		roots := runningIn(c.running, repository)
		if len(roots) <= maxRoots {
			c.recorded[repository] = append(c.recorded[repository], roots...)
			continue
		}
		for i := range entries {
			if e := &entries[i]; e.mayGo() {
				e.keep, e.because = InUse, fmt.Sprintf("workloads name more than %d digests of its repository", maxRoots)
			}
		}
	}
}

// keepWhole keeps what a digest that runs is a part of: nobody could pull by its tag or restore it any more, and no tombstone
// would have the rest.
func keepWhole(entries []entry, recorded []graph.Root, g *graph.Graph) {
	because := map[digest.Digest]string{}
	for _, root := range recorded {
		if root.Reason == InUse {
			because[root.Digest] = root.Because
		}
	}
	if len(because) == 0 {
		return
	}
	for i := range entries {
		e := &entries[i]
		if !e.mayGo() {
			continue
		}
		for _, part := range g.Parts(e.valid...) {
			if by, used := because[part]; used {
				e.keep, e.because = InUse, by
			}
		}
	}
}

// runningIn makes roots of the digests that workloads name in a repository.
func runningIn(r running, repository string) []graph.Root {
	named := r.Digests(repository)
	roots := make([]graph.Root, 0, len(named))
	for _, d := range slices.Sorted(maps.Keys(named)) {
		roots = append(roots, graph.Root{Digest: digest.Digest(d), Reason: InUse, Because: named[d].String()})
	}
	return roots
}
