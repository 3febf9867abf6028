package purge

import (
	"context"
	"errors"
	"fmt"
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
	// maxEvidence is the age up to which what was read may be acted on (I3).
	maxEvidence = 5 * time.Second
	// freshEvidence is the age up to which a deletion is begun, so that it has time to end.
	freshEvidence = 4 * time.Second
	// sharedCluster is the age up to which one reading of the cluster serves several repositories.
	sharedCluster = time.Second
)

var errSlow = fmt.Errorf("%w: the repository cannot be read within 5s", registry.ErrUnreadable)

// Registry is what a sweep needs of a registry.
type Registry interface {
	Reader
	// Delete removes a digest and every tag on it. Missing is success.
	Delete(ctx context.Context, repository string, d digest.Digest) error
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
	tell     teller

	planned  cluster
	readings map[string]reading
	order    []Verdict // the plan, in the order of sweeping
	plan     map[target]Verdict

	claims map[claim]bool
	shared *cluster  // the last reading of the cluster
	latest *evidence // the last evidence

	mu      sync.Mutex
	settled map[target]Verdict // what has come of the plan
	deleted int
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
			s.tell.say("Sweeping manifest %d of %d: %s, %d repositories", i+1, len(units), u.manifest, len(u.deletions))
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

// repository deletes what may go in one repository, level by level: a digest only after all
// those that it is a part of.
func (s *sweeper) repository(ctx context.Context, repository string, todo []Verdict) error {
	g := s.readings[repository].graph
	var failed error
	for len(todo) > 0 {
		size := len(g.Parts(todo[0].Digest))
		n := slices.IndexFunc(todo, func(v Verdict) bool { return len(g.Parts(v.Digest)) != size })
		if n < 0 {
			n = len(todo)
		}
		level := todo[:n]
		todo = todo[n:]
		denied, left, err := s.deleteLevel(ctx, repository, level)
		failed = errors.Join(failed, denied, err)
		if err != nil {
			s.keepRest(ctx, slices.Concat(left, todo), err)
			return failed
		}
	}
	return failed
}

// deleteLevel deletes digests of which none is a part of another, reading again whenever the
// evidence is too old. denied is what the registry would not delete, which does not end the
// level; err is what does, with the digests that are left.
func (s *sweeper) deleteLevel(ctx context.Context, repository string, level []Verdict) (denied error, left []Verdict, err error) {
	for left = level; len(left) > 0; {
		ev, readErr := s.evidence(ctx, repository)
		if readErr != nil {
			return denied, left, readErr
		}
		before := len(left)
		left, err = s.deleteFresh(ctx, ev, left)
		switch {
		case err != nil && len(left) == 0 && errors.Is(err, registry.ErrDenied):
			denied = errors.Join(denied, err)
		case err != nil:
			return denied, left, err
		case len(left) == before:
			return denied, left, fmt.Errorf("%w: nothing in it can be deleted within 5s", registry.ErrUnavailable)
		}
	}
	return denied, nil, nil
}

// evidence is what a deletion stands on.
type evidence struct {
	repository string
	begun      time.Time
	graph      *graph.Graph
	verdicts   map[digest.Digest]Verdict
}

// evidence returns the last evidence of a repository while it is fresh, and else reads again:
// the cluster first, then tags and what they lead to.
func (s *sweeper) evidence(ctx context.Context, repository string) (*evidence, error) {
	if e := s.latest; e != nil && e.repository == repository && s.clock.Since(e.begun) < freshEvidence {
		return e, nil
	}
	s.latest = nil
	ctx, cancel := context.WithTimeoutCause(ctx, maxEvidence, errSlow)
	defer cancel()
	c, err := s.cluster(ctx)
	var r reading
	if err == nil {
		r = s.reader.read(ctx, repository, c.starts(repository))
		err = r.err
	}
	switch {
	case errors.Is(context.Cause(ctx), errSlow), err == nil && s.clock.Since(c.begun) >= freshEvidence:
		return nil, errSlow
	case err != nil:
		return nil, err
	}
	e := &evidence{repository: repository, begun: c.begun, graph: r.graph, verdicts: map[digest.Digest]Verdict{}}
	for _, v := range planRepository(repository, c.entries[repository], c.recorded[repository], r) {
		e.verdicts[v.Digest] = v
	}
	s.latest = e
	return e, nil
}

// cluster reads the cluster, unless it was read just now. Entries that are not claimed keep.
func (s *sweeper) cluster(ctx context.Context) (cluster, error) {
	if s.shared == nil || s.clock.Since(s.shared.begun) >= sharedCluster {
		c, err := readCluster(ctx, s.api, s.clock, s.key)
		if err != nil {
			return cluster{}, err
		}
		c.lose(func(e entry) bool { return s.claims[claimOf(e)] && e.status.State == v1alpha1.TombstoneSweeping })
		s.shared = &c
	}
	return *s.shared, s.shared.refusal
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
		err = s.registry.Delete(ctx, ev.repository, v.Digest)
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
