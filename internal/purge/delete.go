package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// maxWaits bounds how often a registry can ask to wait (429, Retry-After) in one repository.
	maxWaits = 20
	// answerTimeout bounds how long the answer to a deletion is waited for.
	answerTimeout = time.Minute
	// usualLate is how long after that a registry may still do a deletion.
	usualLate = 30 * time.Second
)

// deleteLevel deletes digests of which none is a part of another, reading again whenever the
// evidence is too old, also after a wait that the registry asked for. What the registry refuses to
// delete does not end the level.
func (s *sweeper) deleteLevel(ctx context.Context, repository string, level []Verdict) error {
	for left := level; len(left) > 0; {
		before := len(left)
		var err error
		left, err = s.deleteSome(ctx, repository, left)
		if s.full() {
			err = errors.Join(err, s.verify(ctx, repository))
		}
		switch {
		case err != nil && s.wait(ctx, repository, err):
		case err != nil:
			return err
		case len(left) == before:
			return fmt.Errorf("%w: nothing in it can be deleted within 5s", registry.ErrUnavailable)
		}
	}
	return nil
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
	attempted := s.attempted(v.Digest)
	switch {
	case !known:
		v.Delete, v.Reason, v.Message = false, Held, "its tombstone changed while the purge ran"
	case now.Missing && attempted: // the answer to our deletion was lost, not the deletion
		v.Missing, v.Message = false, ""
	case !now.Delete:
		v.Delete, v.Missing, v.Reason, v.Message = false, now.Missing, now.Reason, now.Message
	case now.Missing:
		v.Missing, v.Message = true, now.Message
	case s.clock.Since(ev.begun) >= freshEvidence || ctx.Err() != nil:
		return true, nil
	default:
		v.Missing, v.Message = false, ""
		err = s.delete(ctx, ev, v.Digest)
	}
	switch {
	case errors.Is(err, registry.ErrNotFound) && !attempted: // it was there a moment ago
		v.Delete, v.Missing, v.Reason, v.Message = false, true, Unsettled, "the registry says that it does not exist, and had it a moment ago"
	case errors.Is(err, registry.ErrNotFound):
	case errors.Is(err, registry.ErrDenied):
		// What it is made of must stay with it; others need not.
		s.keepParts(ev, v.Digest, err)
		return false, nil
	case err != nil && ctx.Err() != nil:
		return true, nil
	case err != nil:
		return true, err
	}
	s.settleVerdict(v)
	return false, nil
}

// attempted reports whether the sweep has tried to delete a digest of the repository at hand.
func (s *sweeper) attempted(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, held := s.held[d]
	return held
}

// delete deletes a digest, and before it its tags that are no roots, a satellite's and the undo tag: some
// registries refuse to delete what a tag points at, others leave the tag behind. Its bytes are kept.
// Errors wrap registry.ErrNotFound when the registry says that it does not exist.
func (s *sweeper) delete(ctx context.Context, ev *evidence, d digest.Digest) error {
	m, err := s.reader.whole(ctx, target{ev.repository, d})
	if err != nil {
		return err
	}
	following := ev.graph.TagsThatFollow(d)
	for _, tag := range following {
		if err = s.registry.Untag(ctx, ev.repository, tag); err != nil && !errors.Is(err, registry.ErrUnsupported) {
			return err
		}
	}
	s.mu.Lock()
	s.held[d] = m // before it: what is deleted may not be known to be
	s.mu.Unlock()
	// Not to wait for the answer would not stop the registry, which may be slow: only the sending
	// is bound to the evidence.
	until, _ := ctx.Deadline()
	answered, cancel := context.WithTimeout(registry.BeginBefore(context.WithoutCancel(ctx), until), answerTimeout)
	defer cancel()
	err = s.registry.Delete(answered, ev.repository, d)
	if errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, registry.ErrNotSent) && registry.RetryAfter(err) == 0 {
		s.mu.Lock()
		s.unanswered = true
		s.mu.Unlock()
	}
	if len(following) > 0 && errors.Is(err, registry.ErrNotFound) {
		return nil // some registries delete a digest with its last tag
	}
	return err
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
