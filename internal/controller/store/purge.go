package store

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// purgeHealth returns the status, reason and message of PurgeHealthy:
// how the last purge ended and when the next one starts.
func (seen storeSeen) purgeHealth() (metav1.ConditionStatus, string, string) {
	p, last := seen.store.Spec.Purge, seen.store.Status.LastPurge
	next := seen.nextPurge(time.Time{})
	if seen.store.Status.Capabilities.Delete == v1alpha1.Unsupported {
		return metav1.ConditionFalse, v1alpha1.ReasonUnsupported, deleteDisabled + " " + next
	}
	outcome := v1alpha1.PurgeOutcome("")
	if last != nil {
		outcome = last.Outcome
	}
	switch {
	case outcome == v1alpha1.PurgeFailed:
		return metav1.ConditionFalse, v1alpha1.ReasonFailed, next
	case outcome == v1alpha1.PurgeUsageUnknown && p.ThresholdPercent+p.TargetPercent > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonUsageUnknown, next
	case seen.purgerImage == "":
		return metav1.ConditionUnknown, v1alpha1.ReasonCronJobDisabled, next
	case p.CronSchedule() == "" || p.Suspend:
		return metav1.ConditionUnknown, v1alpha1.ReasonSuspended, next
	case last == nil:
		return metav1.ConditionTrue, v1alpha1.ReasonScheduled, "No purge has been done yet. " + next
	case outcome == v1alpha1.PurgeUsageUnknown: // the setting that stopped it is gone
		return metav1.ConditionTrue, v1alpha1.ReasonScheduled, next
	case outcome == v1alpha1.PurgeBelowThreshold:
		return metav1.ConditionTrue, string(v1alpha1.PurgeBelowThreshold), next
	}
	return metav1.ConditionTrue, v1alpha1.ReasonSucceeded, next
}

const deleteDisabled = "Deletion is disabled in the registry, so the tombstones wait. Enable it there."

// furtherOn follows the message about a run that went wrong:
// what else has to be corrected, and when the next run is due.
func (seen storeSeen) furtherOn() string {
	next := seen.nextPurge(seen.runs.next())
	if seen.store.Status.Capabilities.Delete == v1alpha1.Unsupported {
		return deleteDisabled + " " + next
	}
	return next
}

// nextPurge describes when the next purge starts, at the time at if that is known, and what it will not do.
func (seen storeSeen) nextPurge(at time.Time) string {
	p := seen.store.Spec.Purge
	var next []string
	if seen.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported {
		next = append(next, "The registry cannot remove a tag alone: a released tag stays until a purge removes it with its digest.")
	}
	switch {
	case seen.purgerImage == "":
		next = append(next, "The manager runs without --purger-image, so it creates no CronJob and no ServiceAccount for purges. Start the manager with --purger-image.")
	case p.CronSchedule() == "":
		next = append(next, "spec.purge.schedule is empty, so purges have no CronJob; run nfo purge by hand.")
	case p.Suspend:
		next = append(next, "spec.purge.suspend is set, so no purge starts on schedule.")
	case !at.IsZero():
		next = append(next, fmt.Sprintf("The next one is due at %s, by schedule %q, %s.", rfc3339(at), p.CronSchedule(), p.CronTimeZone()))
	default:
		next = append(next, fmt.Sprintf("The next one starts by schedule %q, %s.", p.CronSchedule(), p.CronTimeZone()))
	}
	if p.DryRun {
		next = append(next, "spec.purge.dryRun is set, so that nothing is deleted and no run is recorded here.")
	}
	return strings.Join(next, " ")
}

// lastPurge describes the last recorded purge; "" if there is none. The text
// has the completion time, which tells whether this purge has been announced.
func lastPurge(s *v1alpha1.ArtifactStore) string {
	last := s.Status.LastPurge
	if last == nil {
		return ""
	}
	did := fmt.Sprintf("deleted %s, reclaimed %s and kept %d", v1alpha1.Count(int(last.Deleted), "digest", "digests"), v1alpha1.Bytes(last.ReclaimedBytes), last.Kept)
	var kept []string
	for _, k := range last.KeptByReason {
		kept = append(kept, fmt.Sprintf("%d %s", k.Count, k.Reason))
	}
	if len(kept) > 0 {
		did += " (" + strings.Join(kept, ", ") + ")"
	}
	if last.FreedBytes != nil {
		did += fmt.Sprintf(", and the registry freed %s on disk", v1alpha1.Bytes(*last.FreedBytes))
	}
	why := strings.TrimSuffix(last.Message, ".")
	text := fmt.Sprintf("The last purge%s: it %s.", ended(last), did)
	switch last.Outcome {
	case v1alpha1.PurgeSucceeded:
		if why != "" {
			text += " " + why + "."
		}
	case v1alpha1.PurgeFailed:
		text = fmt.Sprintf("The last purge%s and failed: %s. It %s.", ended(last), cmp.Or(why, "it did not say why"), did)
	case v1alpha1.PurgeUsageUnknown:
		text = fmt.Sprintf("The last purge%s and deleted nothing: %s.", ended(last), cmp.Or(why, "usage cannot be measured"))
	case v1alpha1.PurgeBelowThreshold:
		text = fmt.Sprintf("The last purge%s and deleted nothing: %s.", ended(last), cmp.Or(why, "less than thresholdPercent was used"))
	}
	return text + used(s)
}

// lastRecorded is lastPurge for a message that is about a later run without a result.
func lastRecorded(s *v1alpha1.ArtifactStore) string {
	return strings.Replace(lastPurge(s), "The last purge", "The last recorded purge", 1)
}

// ended is the part of a text that tells one purge from another.
func ended(run *v1alpha1.PurgeRun) string {
	return " ended at " + run.CompletionTime.UTC().Format(time.RFC3339)
}

// used describes the usage when it was last measured, and what it is compared with; "" if it was never measured.
func used(s *v1alpha1.ArtifactStore) string {
	u, p := s.Status.Usage, s.Spec.Purge
	if u == nil {
		return ""
	}
	text := " When last measured, " + v1alpha1.Bytes(u.UsedBytes)
	if u.CapacityBytes != nil {
		text += " of " + v1alpha1.Bytes(*u.CapacityBytes)
	}
	text += " were used"
	var more []string
	say := func(format string, args ...any) { more = append(more, fmt.Sprintf(format, args...)) }
	if u.Percent != nil {
		say("%d %%", *u.Percent)
	}
	if p.ThresholdPercent > 0 {
		say("threshold %d %%", p.ThresholdPercent)
	}
	if p.TargetPercent > 0 {
		say("target %d %%", p.TargetPercent)
	}
	if u.UncollectedBytes > 0 {
		say("%s left for the registry to collect", v1alpha1.Bytes(u.UncollectedBytes))
	}
	if len(more) > 0 {
		text += " (" + strings.Join(more, ", ") + ")"
	}
	return text + "."
}

// purgeEvent is the event that reports a purge.
type purgeEvent struct{ severity, reason, note string }

// purgeToTell returns the event for a purge that the last status write has shown for the first time;
// nil if there is none. The message of PurgeHealthy names the purge after which it was written.
func purgeToTell(before []metav1.Condition, s *v1alpha1.ArtifactStore) *purgeEvent {
	last := s.Status.LastPurge
	if last == nil || tells(before, last) || !tells(s.Status.Conditions, last) {
		return nil
	}
	severity := corev1.EventTypeNormal
	if last.Outcome == v1alpha1.PurgeFailed || last.Outcome == v1alpha1.PurgeUsageUnknown {
		severity = corev1.EventTypeWarning
	}
	return &purgeEvent{severity, string(last.Outcome), lastPurge(s)}
}

func tells(conditions []metav1.Condition, of *v1alpha1.PurgeRun) bool {
	c := apimeta.FindStatusCondition(conditions, v1alpha1.ConditionPurgeHealthy)
	return c != nil && strings.Contains(c.Message, ended(of))
}
