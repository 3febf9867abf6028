package purge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// entry is one released tag of one tombstone, and what may become of it.
type entry struct {
	v1alpha1.TombstoneArtifact
	tombstone *v1alpha1.Tombstone
	uid       types.UID // of the tombstone, which others may be writing
	status    v1alpha1.TombstoneArtifactStatus
	valid     []digest.Digest
	// candidate: its digests get a verdict. Other entries only keep.
	candidate bool
	// keep says why its digests may not go, "" when they may; because says it to people.
	keep    Reason
	because string
	// listed: a manifest that exists lists the tag.
	listed bool
	// until is when its grace ends, where keep is GracePeriod and that is known.
	until time.Time
}

func newEntry(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact) entry {
	e := entry{TombstoneArtifact: a, tombstone: t, uid: t.UID, status: t.Entry(a.Repository, a.Tag)}
	for _, d := range a.Digests {
		if digest.Digest(d).Validate() == nil {
			e.valid = append(e.valid, digest.Digest(d))
		}
	}
	return e
}

func (e entry) consumed() bool {
	return e.status.State == v1alpha1.TombstoneRestored || e.status.State == v1alpha1.TombstonePurged
}

func (e entry) mayGo() bool { return e.keep == "" }

// movedOn reports whether the tag is at another digest since.
func (e entry) movedOn() bool {
	return e.tombstone.MovedOn(e.status)
}

// ownTag reports whether the entry's tag is still there because the registry removes no tags.
func (e entry) ownTag() bool {
	return strings.HasPrefix(e.status.Reason, v1alpha1.TagDeleteUnsupported)
}

func (e entry) id() string {
	return v1alpha1.ResourceID(v1alpha1.KindTombstone, e.tombstone.Namespace, e.tombstone.Name)
}

// keptByContent reports whether the last purge kept an entry because something in the registry needed it.
func (e entry) keptByContent() bool {
	return e.status.State == v1alpha1.TombstoneKept && slices.ContainsFunc([]Reason{Tagged, SharedTag, graph.IndexChild}, func(by Reason) bool {
		return strings.HasPrefix(e.status.Reason, string(by))
	})
}

// use says which workload keeps an entry, "" for none (I14).
func (e entry) use(r reading.Running) string {
	return r.Keeps(e.tombstone, e.TombstoneArtifact, e.movedOn())
}

// judge decides whether an entry may go, as far as the cluster knows.
func (c cluster) judge(e *entry, held holding) {
	e.listed = held.lists(*e)
	switch e.status.State {
	case v1alpha1.TombstoneUntagged, v1alpha1.TombstoneKept, v1alpha1.TombstoneSweeping:
		e.candidate = e.status.UntaggedAt != nil
	case v1alpha1.TombstoneRestoring:
		e.keep, e.because = Held, e.id()+" is being restored"
		return
	}
	end, known := e.tombstone.GraceEnds(e.status, c.store.Spec.Purge.GracePeriod.Duration)
	switch {
	case !e.candidate || !known:
		e.keep, e.because = GracePeriod, "its tag has not been seen gone, says "+e.id()
	case len(e.valid) < len(e.Digests):
		e.keep, e.because = Unreadable, e.id()+" has a digest that is not one"
	case !c.owns(e):
		e.keep, e.because = NotOurs, fmt.Sprintf("%s names a repository that is not one of manifest %s in this store", e.id(), e.tombstone.Spec.Manifest.Name)
	case c.now.Before(end):
		e.keep, e.because, e.until = GracePeriod, fmt.Sprintf("%s restores it until %s", e.id(), end.UTC().Format(time.RFC3339)), end
	default:
		if by := held.by(*e); by != "" {
			e.keep, e.because = Held, by
		} else if by := e.use(c.running); by != "" {
			e.keep, e.because = InUse, by
		}
	}
}
