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
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// maxWaits bounds how often a registry can ask to wait (429, Retry-After) in one repository.
	maxWaits = 20
	// usualLate is how long after its deadline a registry may still do a deletion.
	usualLate = 30 * time.Second
)

// Registry is what a sweep needs of a registry.
type Registry interface {
	Reader
	// Delete removes a digest and every tag on it. Missing is success.
	Delete(ctx context.Context, repository string, d digest.Digest) error
	// Untag removes a tag alone. Missing is success.
	Untag(ctx context.Context, repository, tag string) error
	// Put stores a manifest's bytes under its digest.
	Put(ctx context.Context, repository, reference string, m registry.Manifest) error
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
	key      client.ObjectKey
	requests int
	log      *slog.Logger

	planned  cluster
	readings map[string]reading
	order    []Verdict // the plan, in the order of sweeping
	plan     map[target]Verdict

	claims map[claim]bool
	used   map[string]map[digest.Digest]graph.Why // by repository: what tags and manifests reached
	// missing is what the store's manifests and tombstones name and the registry does not have; nil
	// when that is not known.
	missing map[target]bool
	shared  *cluster  // the last reading of the cluster
	latest  *evidence // the last evidence

	waits int // how often the registry may still ask to wait in this repository
	late  time.Duration

	mu      sync.Mutex
	settled map[target]Verdict // what has come of the plan
	deleted int
	held    map[digest.Digest]registry.Manifest // deleted in this repository, until it is verified
	// unanswered: the registry has not said what came of a deletion, and may do it yet.
	unanswered bool
	// rest is what keeps the digests that the sweep has not come to.
	rest Verdict
}

// run sweeps manifest by manifest. An error of one does not stop the next, unless it says that
// nothing more can be done.
func (s *sweeper) run(ctx context.Context) error {
	var errs []error
	units := s.units()
	for i, u := range units {
		if ctx.Err() != nil {
			break
		}
		if len(u.deletions) > 0 {
			s.log.Info("Sweeping", "manifest", u.manifest, "repositories", len(u.deletions), "number", i+1, "of", len(units))
		}
		err := s.manifest(ctx, u)
		errs = append(errs, err)
		if errors.Is(err, registry.ErrUnsupported) || errors.Is(err, ErrRefused) {
			break
		}
	}
	if ctx.Err() != nil {
		errs = append(errs, fmt.Errorf("stopped before its end (%w); run it again", context.Cause(ctx)))
	}
	return errors.Join(errs...)
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

// manifest claims the tombstones of one manifest, sweeps its repositories and settles.
func (s *sweeper) manifest(ctx context.Context, u unit) error {
	var errs []error
	if len(u.deletions) > 0 {
		errs = append(errs, s.claim(ctx, u))
		// What was read before the claims does not count any more.
		s.shared, s.latest = nil, nil
	}
	for _, repository := range slices.Sorted(maps.Keys(u.deletions)) {
		err := s.repository(ctx, repository, u.deletions[repository])
		if err != nil {
			errs = append(errs, fmt.Errorf("sweeping %s: %w", repository, err))
		}
		s.reader.forget(repository)
		if ctx.Err() != nil || errors.Is(err, registry.ErrUnsupported) || errors.Is(err, ErrRefused) {
			break
		}
	}
	return errors.Join(append(errs, s.settle(ctx, u))...)
}

// repository deletes what may go in one repository, layer by layer: a digest only after all those
// that it is a part of. However that ends, it looks at what is left.
func (s *sweeper) repository(ctx context.Context, repository string, todo []Verdict) error {
	byDigest := make(map[digest.Digest]Verdict, len(todo))
	for _, v := range todo {
		byDigest[v.Digest] = v
	}
	var failed error
	s.waits, s.held = maxWaits, map[digest.Digest]registry.Manifest{}
	for _, layer := range s.readings[repository].graph.Layers(slices.Collect(maps.Keys(byDigest))) {
		level := make([]Verdict, len(layer))
		for i, d := range layer {
			level[i] = byDigest[d]
		}
		denied, err := s.deleteLevel(ctx, repository, level)
		failed = errors.Join(failed, denied, err)
		if err != nil {
			s.keepRest(ctx, todo, err)
			break
		}
	}
	s.linger(ctx, repository)
	return errors.Join(failed, s.verify(ctx, repository))
}

// linger waits for deletions that were not answered. While it does, the claims stand: what is
// restored meanwhile could be lost to a deletion that the registry does late.
func (s *sweeper) linger(ctx context.Context, repository string) {
	if !s.unanswered {
		return
	}
	s.unanswered = false
	s.log.Info("Waiting for a deletion that the registry has not answered", "repository", repository, "wait", s.late)
	pause(ctx, s.late)
}

// pause reports whether it was not cut short.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// deleteLevel deletes digests of which none is a part of another, reading again whenever the
// evidence is too old, also after a wait that the registry asked for. denied is what the registry
// would not delete, which does not end the level; err is what does.
func (s *sweeper) deleteLevel(ctx context.Context, repository string, level []Verdict) (denied, err error) {
	for left := level; len(left) > 0; {
		before := len(left)
		left, err = s.deleteSome(ctx, repository, left)
		if s.full() {
			err = errors.Join(err, s.verify(ctx, repository))
		}
		switch {
		case err != nil && len(left) == 0 && errors.Is(err, registry.ErrDenied):
			denied = errors.Join(denied, err)
		case err != nil && s.wait(ctx, repository, err):
		case err != nil:
			return denied, err
		case len(left) == before:
			return denied, fmt.Errorf("%w: nothing in it can be deleted within 5s", registry.ErrUnavailable)
		}
	}
	return denied, nil
}

// deleteSome deletes what it can on one evidence. It returns the digests that it has not come to.
func (s *sweeper) deleteSome(ctx context.Context, repository string, level []Verdict) ([]Verdict, error) {
	ev, err := s.evidence(ctx, repository)
	if err != nil {
		return level, err
	}
	return s.deleteFresh(ctx, ev, level)
}

// wait waits as long as the registry asked to, if it did, and reports whether to go on.
func (s *sweeper) wait(ctx context.Context, repository string, err error) bool {
	d := registry.RetryAfter(err)
	if s.waits--; d == 0 || s.waits < 0 {
		return false
	}
	s.log.Info("Waiting, as the registry asks", "repository", repository, "wait", d)
	return pause(ctx, d)
}

// deleteFresh deletes while the evidence is fresh. It returns the digests that it has not come
// to, in their order. Those denied are not among them.
func (s *sweeper) deleteFresh(ctx context.Context, ev *evidence, vs []Verdict) ([]Verdict, error) {
	again, errs := make([]bool, len(vs)), make([]error, len(vs))
	var g errgroup.Group
	g.SetLimit(s.requests)
	deadline, cancel := context.WithTimeout(ctx, maxEvidence-s.clock.Since(ev.begun))
	defer cancel()
	for i, v := range vs {
		g.Go(func() error {
			again[i], errs[i] = s.deleteOne(deadline, ev, v)
			return nil // one that fails does not stop those begun
		})
	}
	_ = g.Wait()
	var left []Verdict
	for i, v := range vs {
		if again[i] {
			left = append(left, v)
		}
	}
	if ctx.Err() != nil {
		return left, ctx.Err()
	}
	return left, errors.Join(errs...)
}

// deleteOne deletes one digest if the evidence lets it. again: it has not come to it, because of
// the error or because the evidence has become too old.
func (s *sweeper) deleteOne(ctx context.Context, ev *evidence, v Verdict) (again bool, err error) {
	if s.isSettled(v) { // as a part of one that was denied
		return false, nil
	}
	now, known := ev.verdicts[v.Digest]
	switch {
	case !known:
		v.Delete, v.Reason, v.Message = false, Held, "its tombstone changed while the purge ran"
	case !now.Delete:
		v.Delete, v.Reason, v.Message = false, now.Reason, now.Message
	case now.Missing:
		v.Missing, v.Message = true, now.Message
	case s.clock.Since(ev.begun) >= freshEvidence || ctx.Err() != nil:
		return true, nil
	default:
		v.Missing, v.Message = false, ""
		err = s.delete(ctx, ev, v.Digest)
	}
	switch {
	case errors.Is(err, registry.ErrDenied):
		// What it is made of must stay with it; others need not.
		s.keepParts(ev, v.Digest, err)
		return false, err
	case err != nil && ctx.Err() != nil:
		return true, nil
	case err != nil:
		return true, err
	}
	s.settleVerdict(v)
	return false, nil
}

// delete deletes a digest, and before it the tag of ours that kept it: not every registry removes
// that with it. Its bytes are kept.
func (s *sweeper) delete(ctx context.Context, ev *evidence, d digest.Digest) error {
	m, err := s.reader.whole(ctx, target{ev.repository, d})
	if err != nil {
		return missing(err)
	}
	if tag := graph.UndoTag(d); ev.graph.Target(tag) == d {
		if err := s.registry.Untag(ctx, ev.repository, tag); err != nil && !errors.Is(err, registry.ErrUnsupported) {
			return err
		}
	}
	s.mu.Lock()
	s.held[d] = m // before it: what is deleted may not be known to be
	s.mu.Unlock()
	err = s.registry.Delete(ctx, ev.repository, d)
	if errors.Is(err, registry.ErrUnavailable) && registry.RetryAfter(err) == 0 {
		s.mu.Lock()
		s.unanswered = true
		s.mu.Unlock()
	}
	return err
}

// missing is nil for what is not there: missing means done (I11).
func missing(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}
