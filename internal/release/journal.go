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

// ended returns the journal's record of how a release ended.
func (j Task) ended(out Released, err error, took time.Duration) journal.Release {
	m := j.Manifest
	end := journal.Release{Store: storeOf(m), Manifest: m.Name, Cause: j.Cause, Outcome: journal.OutcomeReleased, Took: took}
	switch {
	case isTransient(err):
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

// isTransient reports whether the release is simply tried again and nothing is wrong: another writer was faster,
// or a purge has claimed an entry that is to be restored. In a joined error, every part must be of this kind.
func isTransient(err error) bool {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return !slices.ContainsFunc(joined.Unwrap(), func(one error) bool { return !isTransient(one) })
	}
	return apierrors.IsConflict(err) || errors.Is(err, reference.ErrSuperseded) || errors.Is(err, ErrClaimed)
}

func storeOf(m *v1alpha1.ArtifactManifest) types.NamespacedName {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}
}

// removed records a removed tag in the journal. It records nothing if
// an error, or a reason for the entry, says that the tag still exists.
func (u *untagging) removed(ctx context.Context, f Finding, reason string, err error) (string, error) {
	if err == nil && reason == "" {
		m := u.job.Manifest
		u.mu.Lock()
		name := u.tombstone.Name // other workers may be adding digests to it
		u.mu.Unlock()
		u.Journal.Untagged(ctx, journal.Tag{
			Store: storeOf(m), Manifest: m.Name, Repository: f.Repository, Tag: f.ArtifactVersion, Digest: f.Digest, Tombstone: name,
		})
	}
	return reason, err
}

// tagOf returns the journal's record of a tag of the tombstone that is being restored.
func (r *restoring) tagOf(a v1alpha1.TombstoneArtifact) journal.Tag {
	s := r.undoTags.store
	return journal.Tag{
		Store: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, Manifest: r.tombstone.Spec.Manifest.Name,
		Repository: a.Repository, Tag: a.Tag, Digest: tombstone.RestoredDigest(a), Tombstone: r.tombstone.Name,
	}
}
