package release

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// ended is how a release ended, for the journal.
func (j Task) ended(out Released, err error, took time.Duration) journal.Release {
	m := j.Manifest
	end := journal.Release{Store: storeOf(m), Manifest: m.Name, Cause: j.Cause, Outcome: journal.OutcomeReleased, Took: took}
	switch {
	case fleeting(err):
		end.Outcome, end.Why = journal.OutcomeSuperseded, err.Error()
	case err != nil:
		end.Outcome, end.Why = journal.OutcomeFailed, err.Error()
	case len(out.Holders) > 0:
		end.Outcome, end.Why = journal.OutcomeHeld, reference.Refusal(reference.Self(m), out.Holders)
	case out.Untouched != "":
		end.Outcome, end.Why = journal.OutcomeUntouched, out.Untouched
	case out.Wait > 0:
		end.Outcome, end.Why = journal.OutcomeWaiting, v1alpha1.FirstOf(out.Absent, reference.NamedHolders)
	}
	return end
}

// fleeting reports whether a release is tried again at once and nothing is wrong: somebody else has written, or a purge has
// claimed what is to be put back. What is wrong besides counts.
func fleeting(err error) bool {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return !slices.ContainsFunc(joined.Unwrap(), func(one error) bool { return !fleeting(one) })
	}
	return apierrors.IsConflict(err) || errors.Is(err, reference.ErrSuperseded) || errors.Is(err, ErrClaimed)
}

func storeOf(m *v1alpha1.ArtifactManifest) types.NamespacedName {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}
}

// removed tells the journal of a tag, unless it is there still: by an error, or by a reason for its entry.
func (u *untagging) removed(ctx context.Context, f Finding, reason string, err error) (string, error) {
	if err == nil && reason == "" {
		m := u.job.Manifest
		u.mu.Lock()
		name := u.tombstone.Name // others may be adding digests to it
		u.mu.Unlock()
		u.Journal.Untagged(ctx, journal.Tag{
			Store: storeOf(m), Manifest: m.Name, Repository: f.Repository, Tag: f.ArtifactVersion, Digest: f.Digest, Tombstone: name,
		})
	}
	return reason, err
}

// tagOf is a tag of the tombstone that is being restored, for the journal.
func (r *restoring) tagOf(a v1alpha1.TombstoneArtifact) journal.Tag {
	s := r.undoTags.store
	return journal.Tag{
		Store: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, Manifest: r.tombstone.Spec.Manifest.Name,
		Repository: a.Repository, Tag: a.Tag, Digest: tombstone.RestoredDigest(a), Tombstone: r.tombstone.Name,
	}
}
