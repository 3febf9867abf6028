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

// Entry is one released tag of one tombstone, and what may become of it.
type Entry struct {
	v1alpha1.TombstoneArtifact
	// Tombstone is what it is an entry of, and UID that one's, which others may be writing.
	Tombstone *v1alpha1.Tombstone
	UID       types.UID
	// Status is what became of it, as the tombstone says.
	Status v1alpha1.TombstoneArtifactStatus
	// Valid are those of its digests that are digests.
	Valid []digest.Digest
	// Candidate: its digests get a verdict. Other entries only keep.
	Candidate bool
	// Keep says why its digests may not go, "" when they may; because says it to people.
	Keep    Reason
	because string
	// Listed: a manifest that exists lists the tag.
	Listed bool
	// abandoned: it was claimed for a restore that nobody goes on with.
	abandoned bool
	// until is when its grace ends, where Keep is GracePeriod and that is known.
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

// MayGo reports whether its digests may go, as far as the cluster knows.
func (e Entry) MayGo() bool { return e.Keep == "" }

// movedOn reports whether the tag is at another digest since.
func (e Entry) movedOn() bool {
	return e.Tombstone.MovedOn(e.Status)
}

// ownTag reports whether the entry's tag is still there because the registry removes no tags.
func (e Entry) ownTag() bool {
	return strings.HasPrefix(e.Status.Reason, v1alpha1.TagDeleteUnsupported)
}

func (e Entry) id() string {
	return v1alpha1.ResourceID(v1alpha1.KindTombstone, e.Tombstone.Namespace, e.Tombstone.Name)
}

// Reasons to keep a digest that the content of its repository gives. Those of doubtful may also come from what belongs to a
// digest of the entry that seems missing, which is a doubt of its own.
var (
	byContent = []Reason{Tagged, SharedTag, graph.IndexChild}
	doubtful  = []Reason{graph.Referrer, graph.Subject, Unsettled}
)

// KeptByContent reports whether the last purge that read the repository of an entry kept that because something in the
// registry needed it, or because it was unknown whether anything does. A purge that died may have claimed the entry since.
func KeptByContent(e v1alpha1.TombstoneArtifactStatus) bool {
	reason := strings.TrimPrefix(strings.TrimPrefix(e.Reason, v1alpha1.TagDeleteUnsupported+": "), v1alpha1.ReasonTagTaken+": ")
	is := func(by Reason) bool { return strings.HasPrefix(reason, string(by)+":") }
	return slices.ContainsFunc(byContent, is) || (e.MissingSince == nil && slices.ContainsFunc(doubtful, is))
}

// use says which workload keeps an entry, "" for none (I14).
func (e Entry) use(r reading.Running) string {
	return r.Keeps(e.Tombstone, e.TombstoneArtifact, e.movedOn())
}

// restoreTime is how long a restore may have claimed a tombstone before the claim can be abandoned. One takes seconds.
const restoreTime = 15 * time.Minute

// isAbandoned reports whether a restore has claimed an entry, and nobody goes on with it: no manifest lists the tag any more,
// and the claim is old. The age is that of the tombstone's Ready condition, which a claim changes unless others of its tags can
// still be restored. What a restore under way needs does not hang on it: its manifest lists the tag in its spec or status until
// the restore has ended, also when it is deleted or edited meanwhile, and the purge reads manifests once more after its claim.
func (c Cluster) isAbandoned(e *Entry) bool {
	ready := apimeta.FindStatusCondition(e.Tombstone.Status.Conditions, v1alpha1.ConditionReady)
	return e.Status.State == v1alpha1.TombstoneRestoring && !e.Listed && ready != nil && c.Now.Sub(ready.LastTransitionTime.Time) >= restoreTime
}

// judge decides whether an entry may go, as far as the cluster knows.
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
