package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// Entry is one released tag of a tombstone, and whether its digests may be deleted.
type Entry struct {
	v1alpha1.TombstoneArtifact
	// Tombstone is the tombstone of the entry. UID is its UID, which can be read while the tombstone is being written.
	Tombstone *v1alpha1.Tombstone
	UID       types.UID
	// Status is the status of the entry in its tombstone.
	Status v1alpha1.TombstoneArtifactStatus
	// Valid are the valid digests of the entry.
	Valid []digest.Digest
	// Candidate: the digests of the entry get a verdict. Other entries only keep digests.
	Candidate bool
	// Keep is the reason why the digests may not be deleted, or "" if they may be. because explains it in words.
	Keep    Reason
	because string
	// Listed: an existing manifest lists the tag.
	Listed bool
	// abandoned: a restore claimed the entry and does not continue.
	abandoned bool
	// until is when the grace period ends, if Keep is GracePeriod and the end is known.
	until time.Time
}

func newEntry(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact) Entry {
	e := Entry{TombstoneArtifact: a, Tombstone: t, UID: t.UID, Status: t.Entry(a.Repository, a.Tag)}
	for _, d := range a.Digests {
		if digest.Digest(d).Validate() == nil {
			e.Valid = append(e.Valid, digest.Digest(d))
		}
	}
	return e
}

func (e Entry) consumed() bool {
	return e.Status.State == v1alpha1.TombstoneRestored || e.Status.State == v1alpha1.TombstonePurged
}

// MayGo reports whether the digests of the entry may be deleted, as far as the cluster knows.
func (e Entry) MayGo() bool { return e.Keep == "" }

// movedOn reports whether the tag has been set to another digest since.
func (e Entry) movedOn() bool {
	return e.Tombstone.MovedOn(e.Status)
}

// ownTag reports whether the entry's tag still exists because the registry cannot remove tags.
func (e Entry) ownTag() bool {
	return strings.HasPrefix(e.Status.Reason, v1alpha1.TagDeleteUnsupported)
}

func (e Entry) id() string {
	return v1alpha1.ResourceID(v1alpha1.KindTombstone, e.Tombstone.Namespace, e.Tombstone.Name)
}

// Reasons to keep a digest that come from the content of its repository. The reasons in doubtful may also come from what
// belongs to a digest of the entry that seems to be missing, which MissingSince shows and which is a separate doubt.
var (
	byContent = []Reason{Tagged, SharedTag, graph.IndexChild}
	doubtful  = []Reason{graph.Referrer, graph.Subject, Unsettled}
)

// KeptByContent reports whether the last purge that read the repository of an entry kept the entry because something
// in the registry needed it, or because that was unknown. A purge that died may have claimed the entry since.
func KeptByContent(e v1alpha1.TombstoneArtifactStatus) bool {
	reason := strings.TrimPrefix(strings.TrimPrefix(e.Reason, v1alpha1.TagDeleteUnsupported+": "), v1alpha1.ReasonTagTaken+": ")
	is := func(by Reason) bool { return strings.HasPrefix(reason, string(by)+":") }
	return slices.ContainsFunc(byContent, is) || (e.MissingSince == nil && slices.ContainsFunc(doubtful, is))
}

// use returns which workload keeps an entry (I14); "" for none.
func (e Entry) use(r reading.Running) string {
	return r.Keeps(e.Tombstone, e.TombstoneArtifact, e.movedOn())
}

// restoreTime is how old the claim of a restore must be before it can count as abandoned. A restore takes seconds.
const restoreTime = 15 * time.Minute

// isAbandoned reports whether a restore claimed an entry and does not continue: the claim is old, and
// no manifest lists the tag any more. The age is that of the tombstone's Ready condition, which a
// claim changes unless other tags of the tombstone can still be restored. A running restore is safe
// whatever this age is: its manifest lists the tag in spec or status until the restore has ended, even
// if the manifest is deleted or edited meanwhile, and the purge reads manifests again after its claim.
func (c Cluster) isAbandoned(e *Entry) bool {
	ready := apimeta.FindStatusCondition(e.Tombstone.Status.Conditions, v1alpha1.ConditionReady)
	return e.Status.State == v1alpha1.TombstoneRestoring && !e.Listed && ready != nil && c.Now.Sub(ready.LastTransitionTime.Time) >= restoreTime
}

// judge decides whether an entry may be deleted, as far as the cluster knows.
func (c Cluster) judge(e *Entry, held holding) {
	e.Listed = held.lists(*e)
	e.abandoned = c.isAbandoned(e)
	if e.Status.State == v1alpha1.TombstoneRestoring && !e.abandoned {
		e.Keep, e.because = Held, e.id()+" is being restored"
		return
	}
	switch e.Status.State {
	case v1alpha1.TombstoneUntagged, v1alpha1.TombstoneKept, v1alpha1.TombstoneSweeping, v1alpha1.TombstoneRestoring:
		e.Candidate = e.Status.UntaggedAt != nil
	}
	end, known := e.Tombstone.GraceEnds(e.Status, c.Store.Spec.Purge.GracePeriod.Duration)
	switch {
	case !e.Candidate || !known:
		e.Keep, e.because = GracePeriod, "its tag has not been seen gone, says "+e.id()
	case len(e.Valid) < len(e.Digests):
		e.Keep, e.because = Unreadable, e.id()+" has a digest that is not one"
	case !c.owns(e):
		e.Keep, e.because = NotOurs, fmt.Sprintf("%s names a repository that is not one of manifest %s in this store", e.id(), e.Tombstone.Spec.Manifest.Name)
	case c.Now.Before(end):
		e.Keep, e.because, e.until = GracePeriod, fmt.Sprintf("%s restores it until %s", e.id(), end.UTC().Format(time.RFC3339)), end
	default:
		if by := held.by(*e); by != "" {
			e.Keep, e.because = Held, by
		} else if by := e.use(c.Running); by != "" {
			e.Keep, e.because = InUse, by
		}
	}
}
