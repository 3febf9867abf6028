package journal

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Values of the key "event" of the lines.
const (
	eventUntagged    = "Untagged"
	eventRestored    = "Restored"
	eventNotRestored = "NotRestored"
	eventRelease     = "Release"
	eventRefused     = "Refused"
	eventPurged      = "Purged"
)

// How a release ended.
const (
	// OutcomeReleased: nothing held it, and its tags are gone, or stay until the purge.
	OutcomeReleased = "Released"
	// OutcomeHeld: something holds it, so that nothing was released, or everything was put back.
	OutcomeHeld = "Held"
	// OutcomeWaiting: the registry is asked once more whether tags are missing.
	OutcomeWaiting = "Waiting"
	// OutcomeUntouched: the registry was left alone.
	OutcomeUntouched = "Untouched"
	// OutcomeSuperseded: what was read has changed meanwhile and is read again, or a purge has claimed what is to be put back.
	OutcomeSuperseded = "Superseded"
	// OutcomeFailed: it is tried again.
	OutcomeFailed = "Failed"
)

// Tag is a tag of a manifest's artifact with which something was done.
type Tag struct {
	Store      types.NamespacedName
	Manifest   string
	Repository string
	Tag        string
	Digest     string
	// Tombstone is the name of the one that records the tag; "" for none.
	Tombstone string
}

func (t Tag) keys(event string, more ...any) []any {
	return append([]any{
		"event", event, "storeNamespace", t.Store.Namespace, "store", t.Store.Name, "manifest", t.Manifest,
		"repository", t.Repository, "tag", t.Tag, "digest", t.Digest, "tombstone", t.Tombstone,
	}, more...)
}

// Untagged says that a tag was removed.
func (j *Journal) Untagged(ctx context.Context, t Tag) {
	log.FromContext(ctx).Info("Removed a tag", t.keys(eventUntagged)...)
	if j != nil {
		j.count(j.metrics.removed, t.Store)
	}
}

// Restored says that a tag was put back.
func (j *Journal) Restored(ctx context.Context, t Tag) {
	log.FromContext(ctx).Info("Restored a tag", t.keys(eventRestored)...)
	if j != nil {
		j.count(j.metrics.restored, t.Store)
	}
}

// NotRestored says that a tag could not be put back, with a reason of the API: v1alpha1.ReasonUndoLost or
// v1alpha1.ReasonTagTaken.
func (j *Journal) NotRestored(ctx context.Context, t Tag, reason string) {
	log.FromContext(ctx).Info("Could not restore a tag", t.keys(eventNotRestored, "reason", reason)...)
	if j != nil {
		j.count(j.metrics.notRestored, t.Store, reason)
	}
}

// Release is how a release ended.
type Release struct {
	Store    types.NamespacedName
	Manifest string
	Cause    v1alpha1.Cause
	// Outcome is one of the constants above.
	Outcome string
	// Why says more: what holds the manifest, why the registry was left alone, or the error. "" for nothing.
	Why  string
	Took time.Duration
}

// Released says how a release ended. That it has to be looked at again at once is counted and not logged.
func (j *Journal) Released(ctx context.Context, r Release) {
	if r.Outcome != OutcomeSuperseded {
		log.FromContext(ctx).Info("Ended a release", "event", eventRelease, "storeNamespace", r.Store.Namespace, "store", r.Store.Name, "manifest", r.Manifest,
			"cause", r.Cause, "outcome", r.Outcome, "why", v1alpha1.Clip(v1alpha1.Line(r.Why), maxMessage), "seconds", r.Took.Seconds())
	}
	if j != nil {
		j.count(j.metrics.releases, r.Store, string(r.Cause), r.Outcome)
		j.metrics.releaseSeconds.WithLabelValues(r.Outcome).Observe(r.Took.Seconds())
	}
}

// Purged says that a purge of a store has ended and left its result.
func (j *Journal) Purged(ctx context.Context, store types.NamespacedName, run *v1alpha1.PurgeRun) {
	log.FromContext(ctx).Info("A purge ended", "event", eventPurged, "storeNamespace", store.Namespace, "store", store.Name, "outcome", run.Outcome,
		"ended", run.CompletionTime.UTC().Format(time.RFC3339), "deleted", run.Deleted, "kept", run.Kept, "reclaimedBytes", run.ReclaimedBytes, "message", v1alpha1.Clip(v1alpha1.Line(run.Message), maxMessage))
	if j != nil {
		j.count(j.metrics.purges, store, string(run.Outcome))
	}
}

// Refusal is a request that a webhook has refused.
type Refusal struct {
	Kind, Namespace, Name string
	// Operation is CREATE, UPDATE or DELETE.
	Operation string
	// Reason is that of the API, such as Conflict.
	Reason  string
	Message string
	DryRun  bool
}

// maxMessage bounds what a line says of why something was refused or ended, in bytes.
const maxMessage = 2048

// Refused says that a webhook has refused a request.
func (j *Journal) Refused(ctx context.Context, r Refusal) {
	log.FromContext(ctx).Info("Refused a request", "event", eventRefused, "kind", r.Kind, "objectNamespace", r.Namespace, "objectName", r.Name,
		"operation", r.Operation, "reason", r.Reason, "message", v1alpha1.Clip(v1alpha1.Line(r.Message), maxMessage), "dryRun", r.DryRun)
	if j != nil {
		j.metrics.refusals.WithLabelValues(r.Kind, r.Operation, r.Reason).Inc()
	}
}

// Polled says that a manifest has asked a store's registry what is there, in a turn of a poll. It is only counted.
func (j *Journal) Polled(store types.NamespacedName, err error) {
	if j == nil {
		return
	}
	outcome := "Answered"
	if err != nil {
		outcome = OutcomeFailed
	}
	j.count(j.metrics.polls, store, outcome)
}

// Waits has it counted how long passes wait for a place in a lane.
func (j *Journal) Waits(lane string) func(time.Duration) {
	if j == nil {
		return func(time.Duration) {}
	}
	to := j.metrics.waits.WithLabelValues(lane)
	return func(d time.Duration) { to.Observe(d.Seconds()) }
}
