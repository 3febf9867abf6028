package controller

import (
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// storeVerdict is what a store's status is to say, what is to exist for it, and whether it may go.
type storeVerdict struct {
	holders               []reference.Holder
	manifests, tombstones int32
	conditions            conditions
	// scheduled is true when the purge's objects are to exist.
	scheduled bool
	letGo     bool
	again     time.Duration
}

// decideStore is pure.
func decideStore(seen storeSeen) storeVerdict {
	v := storeVerdict{holders: seen.holders, tombstones: seen.tombstones}
	if len(v.holders) == 0 {
		v.holders = seen.late
	}
	for _, h := range v.holders {
		if h.Kind == v1alpha1.KindArtifactManifest {
			v.manifests++
		}
	}
	self := reference.Self(seen.store)
	v.conditions.referenced(self, v.holders)
	switch deleting := !seen.store.DeletionTimestamp.IsZero(); {
	case deleting && len(v.holders) > 0:
		v.conditions.blocked(self, v.holders)
	case deleting:
		v.letGo = true
		v.conditions.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, v1alpha1.ReasonReleased, "Nothing holds it.")
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It has been released. Its tombstones wait for a store of the same URL.")
	default:
		seen.health(&v)
	}
	return v
}

// after adds that the purge's objects could not be made: what the API server says of a bad
// schedule or time zone, above all.
func (v *storeVerdict) after(err error) {
	switch {
	case apierrors.IsInvalid(err):
		v.conditions.set(v1alpha1.ConditionPurgeHealthy, metav1.ConditionFalse, v1alpha1.ReasonInvalidSchedule,
			fmt.Sprintf("The purge cannot be scheduled as spec.purge says; what was scheduled before stays. Correct it: %v.", err))
	case err != nil && !apierrors.IsConflict(err):
		v.conditions.set(v1alpha1.ConditionPurgeHealthy, metav1.ConditionFalse, v1alpha1.ReasonFailed,
			fmt.Sprintf("The purge cannot be scheduled; it will be tried again: %v.", err))
	}
}

// health is what a store that is not being deleted says of itself.
func (seen storeSeen) health(v *storeVerdict) {
	inert := func(reason, message string) {
		v.conditions.set(v1alpha1.ConditionReachable, metav1.ConditionUnknown, reason, "The registry is not asked.")
		v.conditions.set(v1alpha1.ConditionPurgeHealthy, metav1.ConditionUnknown, reason, "Nothing is purged.")
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	}
	switch {
	case seen.invalid != nil:
		inert(v1alpha1.ReasonInvalidURL, fmt.Sprintf("spec.registry.url is %v. Make another store.", seen.invalid))
		return
	case seen.winner != nil:
		inert(v1alpha1.ReasonPathConflict, fmt.Sprintf("The older store %s/%s has the overlapping URL %s; this store does nothing. One path belongs to one store: delete one of the two.",
			seen.winner.Namespace, seen.winner.Name, seen.winner.Spec.Registry.URL))
		return
	}
	v.scheduled = seen.purgerImage != ""
	v.again = seen.ping.lasts()
	if err := seen.ping.err; err != nil {
		_, reason := classify(err)
		message := explain(err)
		v.conditions.set(v1alpha1.ConditionReachable, metav1.ConditionFalse, reason, message)
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	} else {
		v.conditions.set(v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonReachable, "The registry answers and takes the credentials.")
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "The registry answers.")
	}
	status, reason, message := seen.purgeHealth()
	v.conditions.set(v1alpha1.ConditionPurgeHealthy, status, reason, message)
}

// purgeHealth says how the last purge went and when the next one comes.
func (seen storeSeen) purgeHealth() (metav1.ConditionStatus, string, string) {
	p, last := seen.store.Spec.Purge, seen.store.Status.LastPurge
	schedule := ""
	if p.Schedule != nil {
		schedule = *p.Schedule
	}
	next := fmt.Sprintf("The next one starts by schedule %q, %s.", schedule, p.TimeZone)
	switch {
	case seen.purgerImage == "":
		next = "The manager runs without --purger-image, so there is no CronJob; run nfo purge by hand."
	case schedule == "":
		next = "spec.purge.schedule is empty, so there is no CronJob; run nfo purge by hand."
	case p.Suspend:
		next = "spec.purge.suspend is set, so none starts by schedule."
	}
	if seen.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported {
		next = "The registry cannot remove a tag alone: a released tag stays until a purge removes it with its digest. " + next
	}
	switch {
	case seen.store.Status.Capabilities.Delete == v1alpha1.Unsupported:
		return metav1.ConditionFalse, v1alpha1.ReasonUnsupported, "Deletion is disabled at the registry: the tombstones wait. Enable it there. " + next
	case last != nil && last.Outcome == v1alpha1.PurgeFailed:
		return metav1.ConditionFalse, v1alpha1.ReasonFailed, "The last purge failed; nothing is lost by that: " + strings.TrimSuffix(last.Message, ".") + ". " + next
	case last != nil && last.Outcome == v1alpha1.PurgeUsageUnknown && p.ThresholdPercent+p.TargetPercent > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonUsageUnknown, strings.TrimSuffix(last.Message, ".") + ". " + next
	case seen.purgerImage == "":
		return metav1.ConditionUnknown, v1alpha1.ReasonCronJobDisabled, next
	case schedule == "" || p.Suspend:
		return metav1.ConditionUnknown, v1alpha1.ReasonSuspended, next
	case last == nil || last.Outcome == v1alpha1.PurgeUsageUnknown:
		return metav1.ConditionTrue, v1alpha1.ReasonScheduled, "No purge has been done yet. " + next
	}
	return metav1.ConditionTrue, v1alpha1.ReasonSucceeded, fmt.Sprintf("The last purge deleted %d digests and kept %d. %s", last.Deleted, last.Kept, next)
}
