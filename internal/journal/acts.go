package journal

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// These are the values of the key "event" in the log.
const (
	eventUntagged    = "Untagged"
	eventRestored    = "Restored"
	eventNotRestored = "NotRestored"
	eventRelease     = "Release"
	eventRefused     = "Refused"
	eventPurged      = "Purged"
)

// These are the outcomes of a release.
const (
	// OutcomeReleased means that nothing holds the entries, and that their tags are removed, or stay until the purge.
	OutcomeReleased = "Released"
	// OutcomeHeld means that something holds the entries, so that nothing was released, or everything was restored.
	OutcomeHeld = "Held"
	// OutcomeWaiting means that the registry will be asked again whether tags are missing.
	OutcomeWaiting = "Waiting"
	// OutcomeUntouched means that the registry was left unchanged.
	OutcomeUntouched = "Untouched"
	// OutcomeSuperseded means that an object has changed since it was read, or that a purge
	// has claimed an entry that is to be restored. The release is tried again at once.
	OutcomeSuperseded = "Superseded"
	// OutcomeFailed means that the release failed and is tried again.
	OutcomeFailed = "Failed"
)

// Tag is a tag that was removed or restored, with its artifact.
type Tag struct {
	Store      types.NamespacedName
	Manifest   string
	Repository string
	Tag        string
	Digest     string
	// Tombstone is the name of the tombstone that records the tag; "" for none.
	Tombstone string
}

func (t Tag) keys(event string, more ...any) []any {
	return append([]any{
		"event", event, "storeNamespace", t.Store.Namespace, "store", t.Store.Name, "manifest", t.Manifest,
		"repository", t.Repository, "tag", t.Tag, "digest", t.Digest, "tombstone", t.Tombstone,
	}, more...)
}

// Untagged records that a tag was removed.
func (j *Journal) Untagged(ctx context.Context, t Tag) {
	log.FromContext(ctx).Info("Removed a tag", t.keys(eventUntagged)...)
	if j != nil {
		j.count(j.metrics.removed, t.Store)
	}
}

// Restored records that a tag was restored.
func (j *Journal) Restored(ctx context.Context, t Tag) {
	log.FromContext(ctx).Info("Restored a tag", t.keys(eventRestored)...)
	if j != nil {
		j.count(j.metrics.restored, t.Store)
	}
}

// NotRestored records that a tag could not be restored, with a reason
// of the API: v1alpha1.ReasonUndoLost or v1alpha1.ReasonTagTaken.
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
	// Outcome is one of the Outcome constants.
	Outcome string
	// Why is the detail: the holders, why the registry was left unchanged, or the error. It may be "".
	Why  string
	Took time.Duration
}

// Released records how a release ended. OutcomeSuperseded is counted but not logged.
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

// Purged records that a purge of a store has ended with a result.
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
	// Reason is the reason of the API, such as Conflict.
	Reason  string
	Message string
	DryRun  bool
}

// maxMessage is the maximum length of a reason or message in a line, in bytes.
const maxMessage = 2048

// Refused records that a webhook has refused a request.
func (j *Journal) Refused(ctx context.Context, r Refusal) {
	log.FromContext(ctx).Info("Refused a request", "event", eventRefused, "kind", r.Kind, "objectNamespace", r.Namespace, "objectName", r.Name,
		"operation", r.Operation, "reason", r.Reason, "message", v1alpha1.Clip(v1alpha1.Line(r.Message), maxMessage), "dryRun", r.DryRun)
	if j != nil {
		j.metrics.refusals.WithLabelValues(r.Kind, r.Operation, r.Reason).Inc()
	}
}

// Polled records that a manifest has polled a store's registry. It is counted but not logged.
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

// Waits returns a function that records how long a pass has waited for a place in a lane.
func (j *Journal) Waits(lane string) func(time.Duration) {
	if j == nil {
		return func(time.Duration) {}
	}
	to := j.metrics.waits.WithLabelValues(lane)
	return func(d time.Duration) { to.Observe(d.Seconds()) }
}
