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
	// maxWaits is how often a registry may ask the sweep to wait (429, Retry-After) in one repository.
	maxWaits = 20
	// answerTimeout is how long the sweep waits for the answer to a deletion.
	answerTimeout = time.Minute
	// usualLate is how long after answerTimeout a registry may still carry out a deletion.
	usualLate = 30 * time.Second
)

var errSlowDeletion = fmt.Errorf("%w: nothing in it can be deleted within 5s", registry.ErrUnavailable)

// deleteLevel deletes digests of which none is a part of another. It reads new evidence whenever the evidence is too
// old, also after a wait that the registry asked for. A deletion that the registry refuses does not end the level.
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
		if err != nil && !v.wait(ctx, err) && !v.retryAlone(ctx, err) {
			return err
		}
	}
	return nil
}

// retryAlone reports whether to retry what took too long, now that no other repository is swept at the same time.
func (v *visit) retryAlone(ctx context.Context, err error) bool {
	if !errors.Is(err, errSlow) && !errors.Is(err, errSlowDeletion) {
		return false
	}
	others, err := v.alone(ctx)
	return others && err == nil
}

// deleteSome deletes what it can with one evidence. It returns the verdicts that it has not reached.
func (v *visit) deleteSome(ctx context.Context, level []plan.Verdict) ([]plan.Verdict, error) {
	ev, err := v.evidence(ctx)
	if err != nil {
		return level, err
	}
	return v.deleteFresh(ctx, ev, level)
}

// wait waits if the registry asked for it, and reports whether to continue.
func (v *visit) wait(ctx context.Context, err error) bool {
	d := registry.RetryAfter(err)
	if v.waits--; d == 0 || v.waits < 0 {
		return false
	}
	v.log.Info("Waiting, as the registry asks", "repository", v.repository, "wait", d)
	return pause(ctx, d)
}

// deleteFresh deletes while the evidence is fresh. It returns the verdicts
// that it has not reached, in order, without those that the registry refused.
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
				return nil // a deletion that fails does not stop the others
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

// deleteOne deletes one digest if the evidence allows it. It returns true if the digest
// must be tried again, because of an error or because the evidence has become too old.
func (v *visit) deleteOne(ctx context.Context, ev *evidence, verdict plan.Verdict) (again bool, err error) {
	if v.isSettled(verdict) { // it was kept with a parent that the registry refused to delete
		return false, nil
	}
	now, known := ev.verdicts[verdict.Digest]
	attempted := v.attempted(verdict.Digest)
	switch {
	case !known:
		verdict.Delete, verdict.Reason, verdict.Message = false, plan.Held, "its tombstone changed while the purge ran"
	case now.Missing && attempted: // the registry deleted it, and its answer was lost
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
	case errors.Is(err, registry.ErrNotFound) && !attempted: // it existed a moment ago
		verdict.Delete, verdict.Missing, verdict.Reason, verdict.Message = false, true, plan.Unsettled, "the registry says that it does not exist, and had it a moment ago"
	case errors.Is(err, registry.ErrNotFound):
	case errors.Is(err, registry.ErrProtected) && v.found(verdict.Digest):
		v.keepParts(ev, verdict.Digest, plan.GracePeriod, plan.PushedAgain)
		return false, nil
	case errors.Is(err, registry.ErrDenied):
		// Its parts must stay with it. Other digests may still be deleted.
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

// deleteDigest deletes a digest. Before, it removes the digest's tags that are no roots (satellite tags and the undo
// tag), because some registries refuse to delete a digest that has a tag, and others leave the tag behind. It keeps
// the bytes of the digest. Errors wrap registry.ErrNotFound if the registry says that the digest does not exist.
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
	v.keepBytes(d, m) // before the deletion, because its answer may be lost
	// Cancelling the wait for the answer would not stop a registry that
	// is slow. So only the sending is bound to the age of the evidence.
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

// found reports whether a digest was found in the cluster's own registry. That registry deletes it in a collection,
// which checks whether something that needs the digest was pushed meanwhile, also by digest, which no tag shows.
func (v *visit) found(d digest.Digest) bool {
	return v.plan[v.at(d)].Reason == plan.Reason(v1alpha1.CauseFound) && v.readings[v.repository].Unreferenced[d]
}

// linger waits for deletions that were not answered. The claims stay meanwhile: what is
// restored during the wait could be lost to a deletion that the registry carries out later.
func (v *visit) linger(ctx context.Context) {
	if !v.unanswered {
		return
	}
	v.unanswered = false
	v.log.Info("Waiting for a deletion that the registry has not answered", "repository", v.repository, "wait", v.late)
	pause(ctx, v.late)
}

// pause waits for d. It returns false if the context ended first.
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
