package v1alpha1

import (
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tally returns how many tags are in each state. Of those that are untagged or kept, restorable can be restored; spent cannot
// because a purge has deleted the digest, and taken because something else was pushed. lost are those restorable ones of which
// the registry did not have the digest.
func (t *Tombstone) tally() (in map[TombstoneState]int, restorable, spent, taken, lost int) {
	in = map[TombstoneState]int{}
	for _, a := range t.Spec.Artifacts {
		e := t.Entry(a.Repository, a.Tag)
		in[e.State]++
		switch {
		case e.State != TombstoneUntagged && e.State != TombstoneKept:
		case a.Spent(e):
			spent++
		case t.MovedOn(e) && t.Spec.Cause != CauseOverwritten:
			taken++
		default:
			restorable++
			if strings.HasPrefix(e.Reason, ReasonUndoLost) {
				lost++
			}
		}
	}
	return in, restorable, spent, taken, lost
}

// Summarise sets the Ready condition from the entries: its reason is the state that says most
// about what can still happen, and it is True while something can be restored.
func (t *Tombstone) Summarise() {
	t.Status.ObservedGeneration = t.Generation
	in, restorable, spent, taken, lost := t.tally()
	order := []TombstoneState{TombstoneSweeping, TombstoneRestoring, TombstonePending, TombstoneKept, TombstoneUntagged, TombstoneRestored, TombstonePurged}
	c := metav1.Condition{Type: ConditionReady, Status: metav1.ConditionFalse, Reason: string(TombstonePending), ObservedGeneration: t.Generation}
	var parts []string
	for i := len(order) - 1; i >= 0; i-- {
		if n := in[order[i]]; n > 0 {
			c.Reason = string(order[i])
			parts = append(parts, fmt.Sprintf("%d %s", n, order[i]))
		}
	}
	if t.says(TagDeleteUnsupported) {
		parts = append(parts, "tags stay until the purge, because the registry cannot remove a tag alone")
	}
	if restorable > 0 {
		c.Status = metav1.ConditionTrue
	}
	c.Message = fmt.Sprintf("Tags: %s.", strings.Join(parts, ", "))
	if taken > 0 {
		c.Message += fmt.Sprintf(" Other content was pushed to %d of the tags. These are not restored; their released digests are kept for a grace period.", taken)
	}
	if t.expired() && restorable+spent+taken > 0 {
		c.Message += " " + expiredNow
	}
	switch {
	case t.says(ReasonLost):
		c.Status, c.Reason = metav1.ConditionFalse, ReasonLost
		c.Message += " A purge deleted a digest that something needs, and could not put it back: status.artifacts says which. Push it again, and then delete this tombstone."
	case lost > 0:
		c.Status, c.Reason = metav1.ConditionFalse, ReasonUndoLost
		c.Message += " The registry says that a digest does not exist. nfo restores the tag if the digest is there again within the grace period; otherwise push it again. A registry that collects untagged digests on its own needs spec.purge.undo: QuarantineTag on the store."
	case t.Spec.Cause == CauseFound:
		c.Message += " These digests had no tag and nothing keeps them. To keep one, give it a tag in the registry."
	case t.Spec.Cause == CauseOverwritten:
		c.Message += " The tag has moved on to another digest; this one is kept for its grace period."
	case spent > 0 && restorable == 0:
		c.Message += " A purge has deleted the digests that a restore needs. Push the tags again."
	case spent > 0:
		c.Message += fmt.Sprintf(" A purge has deleted the digests that a restore needs of %d of them; push these tags again. To restore the others, apply ArtifactManifest %s again, listing them, with a store of the URL %s.", spent, t.Spec.Manifest.Name, t.Spec.RegistryURL)
	case restorable > 0:
		c.Message += fmt.Sprintf(" To restore what is untagged or kept, apply ArtifactManifest %s again, listing it, with a store of the URL %s.", t.Spec.Manifest.Name, t.Spec.RegistryURL)
	}
	c.Message = Clip(Line(c.Message), MaxMessage)
	apimeta.SetStatusCondition(&t.Status.Conditions, c)
}

// says reports whether an entry that is not consumed has a reason that begins so.
func (t *Tombstone) says(reason string) bool {
	return slices.ContainsFunc(t.Status.Artifacts, func(e TombstoneArtifactStatus) bool {
		return (e.State == TombstoneUntagged || e.State == TombstoneKept) && strings.HasPrefix(e.Reason, reason)
	})
}

// Spent reports whether a purge has deleted the digest that a restore of the tag takes, and has kept others of it. e is what
// became of the tag.
func (a TombstoneArtifact) Spent(e TombstoneArtifactStatus) bool {
	n := len(a.Digests)
	return n > 0 && slices.Contains(e.Deleted, a.Digests[n-1])
}
