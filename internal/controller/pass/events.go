package pass

import (
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// MaxNote is the API's bound on an event's note, in bytes.
const MaxNote = 1024

// Actions are the conditions whose transitions are said, and the verb that the event names.
var Actions = map[string]string{
	v1alpha1.ConditionDeletionBlocked: "Deleting",
	v1alpha1.ConditionUploaded:        "Observing",
	v1alpha1.ConditionComplete:        "Reading",
	v1alpha1.ConditionUntagged:        "Untagging",
	v1alpha1.ConditionResolved:        "Resolving",
	v1alpha1.ConditionReachable:       "Connecting",
	v1alpha1.ConditionPurgeHealthy:    "Purging",
}

// Announce reports every condition whose status or reason the last status write changed. What several of them say in the
// same words is said once, and a restore once it has ended: by Restored or UndoLost.
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

// expected reports whether a condition says that a deletion goes on which was never blocked, or of which Untagged says in
// the same pass how it ended. Each deletion would else cost an event that tells nobody anything.
func expected(before, after []metav1.Condition, c metav1.Condition) bool {
	if c.Type != v1alpha1.ConditionDeletionBlocked || c.Status == metav1.ConditionTrue {
		return false
	}
	untagged := apimeta.FindStatusCondition(after, v1alpha1.ConditionUntagged)
	return !apimeta.IsStatusConditionTrue(before, c.Type) || (untagged != nil && changed(before, *untagged))
}

// severity of a condition's new state: being blocked is the one True that warns, and not yet
// known, not wanted and not touched are what does not.
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

// TagMoved tells that a tag was overwritten.
func TagMoved(to events.EventRecorder, m *v1alpha1.ArtifactManifest, note string) {
	Tell(to, m, corev1.EventTypeWarning, v1alpha1.ReasonTagMoved, "Observing", note)
}

// Restored tells that tags came back from a tombstone.
func Restored(to events.EventRecorder, m *v1alpha1.ArtifactManifest, note string) {
	Tell(to, m, corev1.EventTypeNormal, v1alpha1.ReasonRestored, "Restoring", note)
}

// UndoLost tells that a tombstone's digest is not in the registry any more.
func UndoLost(to events.EventRecorder, m *v1alpha1.ArtifactManifest, note string) {
	Tell(to, m, corev1.EventTypeWarning, v1alpha1.ReasonUndoLost, "Restoring", note)
}

// Tell makes one event.
func Tell(to events.EventRecorder, about runtime.Object, severity, reason, action, note string) {
	to.Eventf(about, nil, severity, reason, action, "%s", v1alpha1.Clip(note, MaxNote))
}
