package purge

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
	"github.com/nfo-operator/nfo/internal/registry"
)

// Registry is what a sweep needs of a registry.
type Registry interface {
	Reader
	// Delete removes a digest and every tag on it; registry.ErrNotFound when it does not exist.
	Delete(ctx context.Context, repository string, d digest.Digest) error
	// Untag removes a tag alone. Missing is success.
	Untag(ctx context.Context, repository, tag string) error
	// Restore puts a manifest back under its digest, and under those of the tags that are absent.
	Restore(ctx context.Context, repository string, m registry.Manifest, tags []string) error
}

// target is one digest of one repository.
type target struct {
	repository string
	digest     digest.Digest
}

// sweeper acts on a plan.
type sweeper struct {
	api      client.Client
	registry Registry
	reader   *reader
	clock    clock.PassiveClock
	now      func() time.Time // the API server's time
	apart    time.Duration    // between the two looks that a deletion needs
	key      client.ObjectKey
	log      *slog.Logger

	planned cluster
	// byTombstone are the planned entries by the tombstone that they are of.
	byTombstone map[types.UID][]entry
	readings    map[string]reading
	order       []Verdict // the plan, in the order of sweeping
	plan        map[target]Verdict

	claims map[claim]bool
	used   map[string]map[digest.Digest]graph.Why // by repository: what tags and manifests reached
	// missing is what the store's manifests and tombstones name and the registry does not have; nil
	// when that is not known.
	missing map[target]bool
	shared  *shared
	late    time.Duration
	room    *room // for the repositories that are swept at the same time

	mu      sync.Mutex
	settled map[target]Verdict // what has come of the plan
	deleted int
	held    int // bytes of what was deleted, in all repositories that are not verified yet
	// denied is what the registry refused to delete, in no order.
	denied []error
	// rest is what keeps the digests that the sweep has not come to.
	rest Verdict
	// over: nothing more can be done, as an error has said.
	over bool
}

// run sweeps manifest after manifest, and the next while there is room beside the last. None is
// claimed before its turn: what is claimed cannot be restored. An error of one does not stop the
// next, unless it says that nothing more can be done.
func (s *sweeper) run(ctx context.Context) error {
	var errs failures
	var begun errgroup.Group
	units := s.units()
	for i, u := range units {
		if ctx.Err() != nil || s.isOver() || !s.secondLook(ctx, u) {
			break
		}
		if len(u.deletions) > 0 {
			s.log.Info("Sweeping", "manifest", u.manifest, "repositories", len(u.deletions), "number", i+1, "of", len(units))
		}
		visits := s.manifest(ctx, u, &errs)
		begun.Go(func() error {
			_ = visits.Wait() // the errors are in errs
			errs.add(s.settle(ctx, u))
			return nil
		})
	}
	_ = begun.Wait()
	if ctx.Err() != nil {
		errs.add(fmt.Errorf("stopped before its end (%w); run it again", context.Cause(ctx)))
	}
	errs.add(s.refused())
	return errs.join()
}

// refused is an error if the registry let nothing be deleted at all: then the login may not delete. What it
// refuses besides what it deletes is kept, each with its reason, and is no failure.
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
		wait = max(wait, s.apart-s.clock.Since(s.readings[repository].begun))
	}
	if wait <= 0 {
		return true
	}
	s.log.Info("Waiting for the second look at the registry", "manifest", u.manifest, "wait", wait)
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

// unit is what is swept together: the tombstones of one manifest, and by repository what may go.
type unit struct {
	manifest   string
	tombstones []*v1alpha1.Tombstone
	deletions  map[string][]Verdict
}

// units sorts the plan by manifest. A repository that may be touched belongs to one manifest (I9).
func (s *sweeper) units() []unit {
	byManifest := map[string]*unit{}
	for _, t := range s.planned.tombstones {
		name := t.Spec.Manifest.Name
		if byManifest[name] == nil {
			byManifest[name] = &unit{manifest: name, deletions: map[string][]Verdict{}}
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
		us = append(us, *byManifest[name])
	}
	return us
}

// manifestOf returns the manifest that a repository belongs to in which something may go.
func (s *sweeper) manifestOf(repository string) string {
	es := s.planned.entries[repository]
	return es[slices.IndexFunc(es, entry.mayGo)].tombstone.Spec.Manifest.Name
}

// manifest claims the tombstones of one manifest and begins to sweep its repositories, each as soon as there
// is room. It returns when all have begun, and what to wait for until they have ended.
func (s *sweeper) manifest(ctx context.Context, u unit, errs *failures) *errgroup.Group {
	visits := &errgroup.Group{}
	if len(u.deletions) == 0 {
		return visits
	}
	errs.add(s.claim(ctx, u))
	claimed := s.shared.mark() // what was read before the claims does not count
	for _, repository := range slices.Sorted(maps.Keys(u.deletions)) {
		v := &visit{sweeper: s, repository: repository, claimed: claimed, todo: u.deletions[repository], waits: maxWaits, gone: map[digest.Digest]registry.Manifest{}}
		if v.enter(ctx) != nil || s.isOver() {
			v.leave()
			break
		}
		visits.Go(func() error {
			defer v.leave()
			if err := v.run(ctx); err != nil {
				errs.add(fmt.Errorf("sweeping %s: %w", repository, err))
				s.end(err)
			}
			s.reader.forget(repository)
			return nil
		})
	}
	return visits
}

// end begins no more repositories if an error says that nothing more can be done.
func (s *sweeper) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = s.over || errors.Is(err, registry.ErrUnsupported) || errors.Is(err, ErrRefused)
}

func (s *sweeper) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}
