package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
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

var errSlowDeletion = fmt.Errorf("%w: nothing in it can be deleted within 5s", registry.ErrUnavailable)

// deleteLevel deletes digests of which none is a part of another, reading again whenever the
// evidence is too old, also after a wait that the registry asked for. What the registry refuses to
// delete does not end the level.
func (v *visit) deleteLevel(ctx context.Context, level []plan.Verdict) error {
	for left := level; len(left) > 0; {
		before := len(left)
		var err error
		left, err = v.deleteSome(ctx, left)
		if v.full() {
			err = errors.Join(err, v.verify(ctx, v.mark()))
		}
		if err == nil && len(left) == before {
			err = errSlowDeletion
		}
		if err != nil && !v.wait(ctx, err) && !v.haste(ctx, err) {
			return err
		}
	}
	return nil
}

// haste reports whether to try once more what took too long, now that no other repository is swept beside it.
func (v *visit) haste(ctx context.Context, err error) bool {
	if !errors.Is(err, errSlow) && !errors.Is(err, errSlowDeletion) {
		return false
	}
	others, err := v.alone(ctx)
	return others && err == nil
}

// deleteSome deletes what it can on one evidence. It returns the digests that it has not come to.
func (v *visit) deleteSome(ctx context.Context, level []plan.Verdict) ([]plan.Verdict, error) {
	ev, err := v.evidence(ctx)
	if err != nil {
		return level, err
	}
	return v.deleteFresh(ctx, ev, level)
}

// wait waits as long as the registry asked to, if it did, and reports whether to go on.
func (v *visit) wait(ctx context.Context, err error) bool {
	d := registry.RetryAfter(err)
	if v.waits--; d == 0 || v.waits < 0 {
		return false
	}
	v.log.Info("Waiting, as the registry asks", "repository", v.repository, "wait", d)
	return pause(ctx, d)
}

// deleteFresh deletes while the evidence is fresh. It returns the digests that it has not come
// to, in their order. Those denied are not among them.
func (v *visit) deleteFresh(ctx context.Context, ev *evidence, verdicts []plan.Verdict) ([]plan.Verdict, error) {
	again, errs := make([]bool, len(verdicts)), make([]error, len(verdicts))
	var g errgroup.Group
	g.SetLimit(v.reader.Requests())
	deadline, cancel := context.WithTimeout(ctx, maxEvidence-v.clock.Since(ev.begun))
	defer cancel()
	for i, verdict := range verdicts {
		g.Go(func() error {
			again[i] = v.reader.Do(deadline, func() error {
				again[i], errs[i] = v.deleteOne(deadline, ev, verdict)
				return nil // one that fails does not stop those begun
			}) != nil || again[i]
			return nil
		})
	}
	_ = g.Wait()
	var left []plan.Verdict
	for i, verdict := range verdicts {
		if again[i] {
			left = append(left, verdict)
		}
	}
	if ctx.Err() != nil {
		return left, ctx.Err()
	}
	return left, errors.Join(errs...)
}

// deleteOne deletes one digest if the evidence lets it. again: it has not come to it, because of
// the error or because the evidence has become too old.
func (v *visit) deleteOne(ctx context.Context, ev *evidence, verdict plan.Verdict) (again bool, err error) {
	if v.isSettled(verdict) { // as a part of one that was denied
		return false, nil
	}
	now, known := ev.verdicts[verdict.Digest]
	attempted := v.attempted(verdict.Digest)
	switch {
	case !known:
		verdict.Delete, verdict.Reason, verdict.Message = false, plan.Held, "its tombstone changed while the purge ran"
	case now.Missing && attempted: // the answer to our deletion was lost, not the deletion
		verdict.Missing, verdict.Message = false, ""
	case !now.Delete:
		verdict.Delete, verdict.Missing, verdict.Reason, verdict.Message = false, now.Missing, now.Reason, now.Message
	case now.Missing:
		verdict.Missing, verdict.Message = true, now.Message
	case v.clock.Since(ev.begun) >= freshEvidence || ctx.Err() != nil:
		return true, nil
	default:
		verdict.Missing, verdict.Message = false, ""
		err = v.deleteDigest(ctx, ev, verdict.Digest)
	}
	switch {
	case errors.Is(err, registry.ErrNotFound) && !attempted: // it was there a moment ago
		verdict.Delete, verdict.Missing, verdict.Reason, verdict.Message = false, true, plan.Unsettled, "the registry says that it does not exist, and had it a moment ago"
	case errors.Is(err, registry.ErrNotFound):
	case errors.Is(err, registry.ErrProtected) && v.found(verdict.Digest):
		v.keepParts(ev, verdict.Digest, plan.GracePeriod, plan.PushedAgain)
		return false, nil
	case errors.Is(err, registry.ErrDenied):
		// What it is made of must stay with it; others need not.
		v.mu.Lock()
		v.denied = append(v.denied, err)
		v.mu.Unlock()
		v.keepParts(ev, verdict.Digest, plan.Denied, err.Error())
		return false, nil
	case err != nil && ctx.Err() != nil:
		return true, nil
	case err != nil:
		return true, err
	}
	v.settleVerdict(verdict)
	return false, nil
}

// attempted reports whether the sweep has tried to delete a digest.
func (v *visit) attempted(d digest.Digest) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, tried := v.gone[d]
	return tried
}

// deleteDigest deletes a digest, and before it its tags that are no roots, a satellite's and the undo tag: some
// registries refuse to delete what a tag points at, others leave the tag behind. Its bytes are kept.
// Errors wrap registry.ErrNotFound when the registry says that it does not exist.
func (v *visit) deleteDigest(ctx context.Context, ev *evidence, d digest.Digest) error {
	m, err := v.reader.Whole(ctx, v.at(d))
	if err != nil {
		return err
	}
	following := ev.graph.TagsThatFollow(d)
	for _, tag := range following {
		if err = v.registry.Untag(ctx, v.repository, tag); err != nil && !errors.Is(err, registry.ErrUnsupported) {
			return err
		}
	}
	v.hold(d, m) // before it: what is deleted may not be known to be
	// Not to wait for the answer would not stop the registry, which may be slow: only the sending
	// is bound to the evidence.
	until, _ := ctx.Deadline()
	answered, cancel := context.WithTimeout(registry.BeginBefore(context.WithoutCancel(ctx), until), answerTimeout)
	defer cancel()
	if v.found(d) {
		v.mu.Lock()
		v.asked = append(v.asked, v.at(d))
		v.mu.Unlock()
		return v.registry.DeleteUnreferenced(answered, v.key, v.repository, d)
	}
	err = v.registry.Delete(answered, v.repository, d)
	if errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, registry.ErrNotSent) && registry.RetryAfter(err) == 0 {
		v.mu.Lock()
		v.unanswered = true
		v.mu.Unlock()
	}
	if len(following) > 0 && errors.Is(err, registry.ErrNotFound) {
		return nil // some registries delete a digest with its last tag
	}
	return err
}

// found reports whether a digest was found in the cluster's own registry, which deletes it in a collection: that looks
// whether something was pushed meanwhile that needs the digest, also by digest, which no tag shows.
func (v *visit) found(d digest.Digest) bool {
	return v.plan[v.at(d)].Reason == plan.Reason(v1alpha1.CauseFound) && v.readings[v.repository].Unreferenced[d]
}

// linger waits for deletions that were not answered. While it does, the claims stand: what is
// restored meanwhile could be lost to a deletion that the registry does late.
func (v *visit) linger(ctx context.Context) {
	if !v.unanswered {
		return
	}
	v.unanswered = false
	v.log.Info("Waiting for a deletion that the registry has not answered", "repository", v.repository, "wait", v.late)
	pause(ctx, v.late)
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
