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
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// sweeper acts on a plan.
type sweeper struct {
	api      client.Client
	registry Registry
	reader   *reading.Reader
	clock    clock.PassiveClock
	now      func() time.Time // the API server's time
	apart    time.Duration    // between the two looks that a deletion needs
	key      client.ObjectKey
	log      *slog.Logger

	planned plan.Cluster
	// byTombstone are the planned entries by the tombstone that they are of.
	byTombstone map[types.UID][]plan.Entry
	readings    map[string]reading.Repository
	order       []plan.Verdict // the plan, in the order of sweeping
	plan        map[reading.Key]plan.Verdict

	claims map[claim]bool
	used   map[string]map[digest.Digest]graph.Why // by repository: what tags and manifests reached
	// missing is what the store's manifests and tombstones name and the registry does not have; nil
	// when that is not known.
	missing map[reading.Key]bool
	shared  *shared[*view]
	running *shared[reading.Running]
	// readCluster reads the cluster beside what was read of its workloads.
	readCluster func(context.Context, reading.Running) (plan.Cluster, error)
	// readRunning reads what workloads run.
	readRunning func(context.Context, *v1alpha1.ArtifactStore) (reading.Running, error)
	late        time.Duration
	room        *room // for the repositories that are swept at the same time

	mu      sync.Mutex
	settled map[reading.Key]plan.Verdict // what has come of the plan
	deleted int
	held    int // bytes of what was deleted, in all repositories that are not verified yet
	// denied is what the registry refused to delete, in no order.
	denied []error
	// asked is what the registry was asked to delete in a collection.
	asked []reading.Key
	// doubt says why no collection is asked for: what goes with it may be needed.
	doubt error
	// rest is what keeps the digests that the sweep has not come to.
	rest plan.Verdict
	// over: nothing more can be done, as an error has said.
	over bool
}

// run sweeps wave after wave. While one is looked after and settled, the next one begins, so that requests are always under
// way. None is claimed while one before it still deletes, which a slow registry can make long: what is claimed cannot be
// restored. An error of one does not stop the next, unless it says that nothing more can be done.
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
		w := &wave{sweeper: s, unit: u, errs: &errs, before: before, looked: make(chan struct{})}
		before = w.looked
		start := time.Now()
		if w.delete(ctx); len(w.visits) > 0 {
			work = nextWork(u.work, work, time.Since(start))
		}
		ending.Go(func() error { // when the one before has ended
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

// refused is an error if the registry let nothing be deleted at all: then the login may not delete. What it
// refuses besides what it deletes is kept, each with its reason, and is not a failure.
func (s *sweeper) refused() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deleted > 0 || !slices.ContainsFunc(s.denied, func(err error) bool { return !errors.Is(err, registry.ErrProtected) }) {
		return nil
	}
	return fmt.Errorf("the registry let none of %d digests be deleted: %w", len(s.denied), errors.Join(s.denied[:min(len(s.denied), 3)]...))
}

// secondLook waits until the plan's look at a unit's repositories is old enough for the second one,
// which decides, to be another one: what shortly answers for a registry, or a replica that lags behind,
// is not asked twice. Nothing is claimed yet. It reports whether it was not cut short.
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

// unit is what is claimed and settled together: the tombstones of some manifests, and by repository what may go.
type unit struct {
	manifests  int
	tombstones []*v1alpha1.Tombstone
	deletions  map[string][]plan.Verdict
	work       int // repositories, tags in them and digests to delete, together
}

// units sorts the plan by manifest. A repository that may be touched belongs to one manifest (I9).
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

// merge makes one of the first units, with so much work at most if it is of more than one manifest.
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

// manifestOf returns the manifest that a repository belongs to in which something may go.
func (s *sweeper) manifestOf(repository string) string {
	es := s.planned.Entries[repository]
	return es[slices.IndexFunc(es, plan.Entry.MayGo)].Tombstone.Spec.Manifest.Name
}

// failed names the repository in an error. No more are begun if it says that nothing more can be done.
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
