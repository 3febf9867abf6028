package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/reference"
)

// storeVerdict is what a store's status will say, what will exist for it, and whether it is released.
type storeVerdict struct {
	holders               []reference.Holder
	manifests, tombstones int32
	conditions            pass.Conditions
	// scheduled is true if the purge's objects are to exist, firstReady if the registry answers.
	scheduled, firstReady bool
	letGo                 bool
	// refused is true if the administrator's list does not allow the store at its place.
	refused bool
	// shared says with which store the registry may be shared, ""
	// for none. If set, it becomes the message of PurgeHealthy.
	shared string
	// now is the request to ask the registry at once (v1alpha1.ReconcileNow) that the status records.
	now   string
	again time.Duration
}

// decideStore is pure.
func decideStore(seen storeSeen) storeVerdict {
	v := storeVerdict{holders: seen.holders, tombstones: seen.tombstones, now: seen.store.Status.LastReconcileNow}
	if len(v.holders) == 0 {
		v.holders = seen.late
	}
	for _, h := range v.holders {
		if h.Kind == v1alpha1.KindArtifactManifest {
			v.manifests++
		}
	}
	self := reference.Self(seen.store)
	v.conditions.Referenced(self, v.holders)
	switch deleting := !seen.store.DeletionTimestamp.IsZero(); {
	case deleting && len(v.holders) > 0:
		v.conditions.Blocked(self, v.holders)
	case deleting && seen.doubt != nil:
		if v.again = pass.StuckRetry; seen.store.Status.Manifests != nil {
			v.manifests = *seen.store.Status.Manifests // the last known count
		}
		v.conditions.Doubted(seen.doubt)
	case deleting:
		v.letGo = true
		v.conditions.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, v1alpha1.ReasonReleased, "No object references it.")
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "The store has been released. Its tombstones wait for a store with the same URL.")
	default:
		seen.health(&v)
	}
	return v
}

// after adds to the verdict why the purge's objects could not be written: another
// object has the name, or the API server refused the schedule or time zone.
func (v *storeVerdict) after(s *v1alpha1.ArtifactStore, err error) {
	var taken *pass.NameTakenError
	switch {
	case errors.As(err, &taken):
		v.purge(s, metav1.ConditionFalse, v1alpha1.ReasonNameTaken, taken.Error())
	case apierrors.IsInvalid(err):
		v.purge(s, metav1.ConditionFalse, v1alpha1.ReasonInvalidSchedule,
			fmt.Sprintf("The purge cannot be scheduled as spec.purge says, so the previous schedule stays in effect. Correct it: %v.", err))
	case err != nil && !apierrors.IsConflict(err) && !errors.Is(err, reference.ErrSuperseded):
		v.purge(s, metav1.ConditionFalse, v1alpha1.ReasonFailed,
			fmt.Sprintf("The purge cannot be scheduled; nfo will retry: %v.", err))
	}
}

// purge sets PurgeHealthy. Its message always begins with the last
// purge, which is how nfo knows which purges have been announced.
//
// A registry that may be shared takes precedence over everything else, because this condition stops purges.
func (v *storeVerdict) purge(s *v1alpha1.ArtifactStore, status metav1.ConditionStatus, reason, message string) {
	if v.shared != "" {
		status, reason, message = metav1.ConditionFalse, v1alpha1.ReasonMayShareRegistry, v.shared
	}
	v.conditions.Set(v1alpha1.ConditionPurgeHealthy, status, reason, strings.TrimSpace(lastPurge(s)+" "+message))
}

// precedence explains why a store takes precedence over another one.
func precedence(winner *v1alpha1.ArtifactStore) string {
	if winner.Settled() {
		return "was Ready first"
	}
	return "is older"
}

// health sets the conditions of a store that is not being deleted.
func (seen storeSeen) health(v *storeVerdict) {
	inert := func(reason, message string) {
		v.conditions.Set(v1alpha1.ConditionReachable, metav1.ConditionUnknown, reason, "nfo does not contact the registry.")
		v.purge(seen.store, metav1.ConditionUnknown, reason, "Nothing is purged.")
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	}
	switch {
	case seen.invalid != nil:
		inert(v1alpha1.ReasonInvalidURL, fmt.Sprintf("spec.registry.url is %v. Make another store.", seen.invalid))
		return
	case seen.refused != nil:
		v.refused = true
		inert(v1alpha1.ReasonPlaceRefused, fmt.Sprintf("This store does nothing: %v.", seen.refused))
		return
	case seen.winner != nil && (seen.winner.Settled() || seen.ping.err != nil):
		inert(v1alpha1.ReasonPathConflict, fmt.Sprintf("Store %s/%s has the overlapping URL %s and %s; this store does nothing. One path belongs to one store: delete one of the two.",
			seen.winner.Namespace, seen.winner.Name, seen.winner.RegistryURL(), precedence(seen.winner)))
		v.again = pingWell
		return
	}
	v.shared = seen.shared.says()
	v.firstReady = seen.ping.err == nil
	v.scheduled = seen.purgerImage != ""
	v.again, v.now = seen.ping.lasts(), seen.ping.now
	if err := seen.ping.err; err != nil {
		_, reason := pass.Classify(err)
		message := pass.Explain(err)
		v.conditions.Set(v1alpha1.ConditionReachable, metav1.ConditionFalse, reason, message)
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	} else {
		v.conditions.Set(v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonReachable, "The registry answers and accepts the credentials.")
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "The registry answers.")
	}
	found, again := seen.runs.judge()
	if again > 0 {
		v.again = min(v.again, again)
	}
	if found != nil && v.shared == "" {
		v.conditions.Set(v1alpha1.ConditionPurgeHealthy, metav1.ConditionFalse, found.reason, strings.TrimSpace(lastRecorded(seen.store)+" "+found.message+" "+seen.furtherOn()))
		return
	}
	status, reason, message := seen.purgeHealth()
	if missing := seen.store.Status.Workloads.Unreadable(); missing != "" && (seen.store.Spec.Workloads != nil || seen.store.Spec.Mirror != nil) {
		status, reason = metav1.ConditionFalse, v1alpha1.ReasonWorkloadsUnreadable
		message = fmt.Sprintf("nfo untags and purges nothing of this store, because it cannot read what workloads run: %s.", missing)
	}
	v.purge(seen.store, status, reason, message)
}
