package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/latest"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// sweeper carries out a plan.
type sweeper struct {
	api      client.Client
	registry Registry
	reader   *reading.Reader
	clock    clock.PassiveClock
	now      func() time.Time // the API server's time
	apart    time.Duration    // least time between the two readings that a deletion needs
	key      client.ObjectKey
	log      *slog.Logger

	planned plan.Cluster
	// byTombstone has the planned entries of each tombstone.
	byTombstone map[types.UID][]plan.Entry
	readings    map[string]reading.Repository
	order       []plan.Verdict // the plan, in the order of sweeping
	plan        map[reading.Key]plan.Verdict

	claims map[claim]bool
	used   map[string]map[digest.Digest]graph.Why // by repository: what tags and recorded digests lead to
	// missing are the digests that the store's manifests and tombstones
	// lead to and that the registry does not have; nil if unknown.
	missing map[reading.Key]bool
	shared  *latest.Reading[*view]
	running *latest.Reading[reading.Running]
	// readCluster reads the cluster and adds what was read of its workloads.
	readCluster func(context.Context, reading.Running) (plan.Cluster, error)
	// readRunning reads what workloads run.
	readRunning func(context.Context, *v1alpha1.ArtifactStore) (reading.Running, error)
	late        time.Duration
	room        *room // for the repositories that are swept at the same time

	mu      sync.Mutex
	settled map[reading.Key]plan.Verdict // what became of the plan so far
	deleted int
	held    int // bytes of deleted digests, in all repositories that are not verified yet
	// denied has the errors of the deletions that the registry refused, in no order.
	denied []error
	// asked are the digests that the registry was asked to delete in a collection.
	asked []reading.Key
	// doubt says why the purge must not ask for a collection: the collection might delete something that is needed.
	doubt error
	// rest is the verdict for the digests that the sweep has not reached.
	rest plan.Verdict
	// over is set when an error has shown that no deletion can succeed.
	over bool
}

// run sweeps wave after wave. The next wave begins while the last one is verified and settled, so that requests are always
// running. No wave is claimed while the one before still deletes, which may take long at a slow registry, because claimed
// entries cannot be restored. An error in one wave does not stop the next, unless it shows that no deletion can succeed.
func (s *sweeper) run(ctx context.Context) error {
	var errs failures
	var ending errgroup.Group
	ending.SetLimit(1)
	units, work, before := s.units(), firstWork(s.reader.Requests(), s.reader.Within(waveTime)), make(chan struct{})
	close(before)
	for rest := units; len(rest) > 0; {
		var u unit
		u, rest = merge(rest, work)
		if ctx.Err() != nil || s.isOver() || !s.secondLook(ctx, u) {
			break
		}
		if n := len(u.deletions); n > 0 {
			s.log.Info("Sweeping", "repositories", n, "manifests", u.manifests, "done", len(units)-len(rest)-u.manifests, "of", len(units))
		}
		w := &wave{sweeper: s, unit: u, errs: &errs, before: before, verified: make(chan struct{})}
		before = w.verified
		start := time.Now()
		if w.delete(ctx); len(w.visits) > 0 {
			work = nextWork(u.work, work, w.prepared.Sub(start), time.Since(w.prepared))
		}
		ending.Go(func() error { // waits until the wave before has ended
			w.end(ctx)
			return nil
		})
	}
	_ = ending.Wait() // the errors are in errs
	if ctx.Err() != nil {
		errs.add(fmt.Errorf("stopped before its end (%w); run it again", context.Cause(ctx)))
	}
	errs.add(s.refused())
	return errs.join()
}

// refused returns an error if the registry refused every deletion, because then the login may not delete. If the
// registry deleted some digests, those that it refused are kept, each with its reason, and there is no error.
func (s *sweeper) refused() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deleted > 0 || !slices.ContainsFunc(s.denied, func(err error) bool { return !errors.Is(err, registry.ErrProtected) }) {
		return nil
	}
	return fmt.Errorf("the registry let none of %d digests be deleted: %w", len(s.denied), errors.Join(s.denied[:min(len(s.denied), 3)]...))
}

// secondLook waits until enough time has passed since the plan read a unit's repositories. Two readings in
// quick succession could both be answered by the same lagging replica, or by whatever answers in the
// registry's place for a moment. Nothing is claimed yet. secondLook returns false if the context ended first.
func (s *sweeper) secondLook(ctx context.Context, u unit) bool {
	var wait time.Duration
	for repository := range u.deletions {
		wait = max(wait, s.apart-s.clock.Since(s.readings[repository].Begun))
	}
	if wait <= 0 {
		return true
	}
	s.log.Info("Waiting for the second look at the registry", "repositories", len(u.deletions), "wait", wait)
	return pause(ctx, wait)
}

// failures collects errors. It is safe for concurrent use.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *failures) join() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}

// unit is what is claimed and settled together: the tombstones of some manifests, and what may be deleted, by repository.
type unit struct {
	manifests  int
	tombstones []*v1alpha1.Tombstone
	deletions  map[string][]plan.Verdict
	work       int // number of repositories, tags in them, and digests to delete
}

// units groups the plan by manifest. A repository that may be touched belongs to one manifest (I9).
func (s *sweeper) units() []unit {
	byManifest := map[string]*unit{}
	for _, t := range s.planned.Tombstones {
		name := t.Spec.Manifest.Name
		if byManifest[name] == nil {
			byManifest[name] = &unit{manifests: 1, deletions: map[string][]plan.Verdict{}}
		}
		byManifest[name].tombstones = append(byManifest[name].tombstones, t)
	}
	for _, v := range s.order {
		if v.Delete {
			u := byManifest[s.manifestOf(v.Repository)]
			u.deletions[v.Repository] = append(u.deletions[v.Repository], v)
		}
	}
	var us []unit
	for _, name := range slices.Sorted(maps.Keys(byManifest)) {
		u := byManifest[name]
		for repository, vs := range u.deletions {
			u.work += 1 + s.readings[repository].NumTags() + len(vs)
		}
		us = append(us, *u)
	}
	return us
}

// merge joins the first units to one. The work of a unit that has several manifests is at most work.
func merge(units []unit, work int) (u unit, rest []unit) {
	u.deletions = map[string][]plan.Verdict{}
	for i, next := range units {
		if i > 0 && u.work+next.work > work {
			return u, units[i:]
		}
		u.manifests += next.manifests
		u.work += next.work
		u.tombstones = append(u.tombstones, next.tombstones...)
		maps.Copy(u.deletions, next.deletions)
	}
	return u, nil
}

// manifestOf returns the manifest that owns a repository in which something may be deleted.
func (s *sweeper) manifestOf(repository string) string {
	es := s.planned.Entries[repository]
	return es[slices.IndexFunc(es, plan.Entry.MayGo)].Tombstone.Spec.Manifest.Name
}

// failed adds the repository to an error. If the error shows that
// no deletion can succeed, the sweep starts no further repository.
func (s *sweeper) failed(err error, repository string) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = s.over || errors.Is(err, registry.ErrUnsupported) || errors.Is(err, plan.ErrRefused)
	return fmt.Errorf("sweeping %s: %w", repository, err)
}

func (s *sweeper) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

func (s *sweeper) doubted(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubt = errors.Join(s.doubt, err)
}
