package pass

import (
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// MaxNote is the longest note of an event that the API accepts, in bytes.
const MaxNote = 1024

// Actions are the conditions whose transitions are recorded as events, with the action of the event.
var Actions = map[string]string{
	v1alpha1.ConditionDeletionBlocked: "Deleting",
	v1alpha1.ConditionUploaded:        "Observing",
	v1alpha1.ConditionComplete:        "Reading",
	v1alpha1.ConditionUntagged:        "Untagging",
	v1alpha1.ConditionResolved:        "Resolving",
	v1alpha1.ConditionReachable:       "Connecting",
	v1alpha1.ConditionPurgeHealthy:    "Purging",
}

// Announce records an event for every condition whose status or reason the last status write changed. Conditions with
// the same reason and message share one event. A restore is not announced until it has ended, by Restored or UndoLost.
func Announce(to events.EventRecorder, about runtime.Object, before, after []metav1.Condition) {
	said := map[string]bool{}
	for _, c := range after {
		action, reported := Actions[c.Type]
		if !reported || c.Reason == v1alpha1.ReasonRestoring || !changed(before, c) || expected(before, after, c) {
			continue
		}
		note := c.Reason + " " + c.Message
		if said[note] {
			continue
		}
		said[note] = true
		Tell(to, about, severity(c), c.Reason, action, c.Message)
	}
}

// changed reports whether a condition has another status or reason than before.
func changed(before []metav1.Condition, c metav1.Condition) bool {
	was := apimeta.FindStatusCondition(before, c.Type)
	return was == nil || was.Status != c.Status || was.Reason != c.Reason
}

// expected reports whether a condition only says that a deletion proceeds, and that deletion was never blocked,
// or Untagged says in the same pass how it ended. Otherwise each deletion would cost an event without any news.
func expected(before, after []metav1.Condition, c metav1.Condition) bool {
	if c.Type != v1alpha1.ConditionDeletionBlocked || c.Status == metav1.ConditionTrue {
		return false
	}
	untagged := apimeta.FindStatusCondition(after, v1alpha1.ConditionUntagged)
	return !apimeta.IsStatusConditionTrue(before, c.Type) || (untagged != nil && changed(before, *untagged))
}

// severity returns the event type for a condition's new state. A condition that is not True warns, except
// for DeletionBlocked, which warns if it is True. Pending, suspended, disabled and untouched never warn.
func severity(c metav1.Condition) string {
	bad := c.Status != metav1.ConditionTrue
	switch c.Reason {
	case v1alpha1.ReasonPending, v1alpha1.ReasonSuspended, v1alpha1.ReasonCronJobDisabled, v1alpha1.ReasonNotOurs:
		return corev1.EventTypeNormal
	}
	if c.Type == v1alpha1.ConditionDeletionBlocked {
		bad = c.Status == metav1.ConditionTrue
	}
	if bad {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

// TagMoved records that a tag was overwritten.
func TagMoved(to events.EventRecorder, m *v1alpha1.ArtifactManifest, note string) {
	Tell(to, m, corev1.EventTypeWarning, v1alpha1.ReasonTagMoved, "Observing", note)
}

// Restored records that tags were restored.
func Restored(to events.EventRecorder, m *v1alpha1.ArtifactManifest, note string) {
	Tell(to, m, corev1.EventTypeNormal, v1alpha1.ReasonRestored, "Restoring", note)
}

// UndoLost records that a recorded digest is no longer in the registry.
func UndoLost(to events.EventRecorder, m *v1alpha1.ArtifactManifest, note string) {
	Tell(to, m, corev1.EventTypeWarning, v1alpha1.ReasonUndoLost, "Restoring", note)
}

// Tell records one event.
func Tell(to events.EventRecorder, about runtime.Object, severity, reason, action, note string) {
	to.Eventf(about, nil, severity, reason, action, "%s", v1alpha1.Clip(note, MaxNote))
}
