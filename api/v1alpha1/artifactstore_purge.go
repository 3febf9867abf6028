package v1alpha1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// UndoMode is what keeps a released digest in the registry until the purge.
// +kubebuilder:validation:Enum=Untagged;QuarantineTag
type UndoMode string

// What keeps a released digest.
const (
	// UndoUntagged: it stays without a tag.
	UndoUntagged UndoMode = "Untagged"
	// UndoQuarantineTag: it gets a tag of ours.
	UndoQuarantineTag UndoMode = "QuarantineTag"
)

// PurgeSpec says when released artifacts are removed permanently.
// +kubebuilder:validation:XValidation:rule="!has(self.usage) || self.usage != 'Volume' || has(self.persistentVolumeClaim)",message="usage Volume needs persistentVolumeClaim"
type PurgeSpec struct {
	// Unix crontab line of the purge CronJob <store>-purge. Empty: no CronJob; a purge then
	// runs only by hand. Default: every day at midnight.
	// +optional
	// +kubebuilder:default="0 0 * * *"
	// +kubebuilder:validation:MaxLength=256
	Schedule *string `json:"schedule,omitempty"`

	// IANA time zone of the schedule. Default Etc/UTC.
	// +optional
	// +kubebuilder:default="Etc/UTC"
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// A purge starts when at least this percentage is used. Default 0: always. Above 0 it
	// deletes nothing when usage cannot be measured, and says UsageUnknown.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=0
	ThresholdPercent int32 `json:"thresholdPercent,omitempty"`

	// A purge stops when at most this percentage is used, having deleted what was released
	// first. Default 0: sweep all that may go. Above 0 it deletes nothing when usage cannot be
	// measured, and says UsageUnknown.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=0
	TargetPercent int32 `json:"targetPercent,omitempty"`

	// How usage is measured. Accounted: the bytes of all blobs that this store's manifests and
	// tombstones reach, each counted once, against spec.capacity. Volume: what the file system of
	// persistentVolumeClaim reports. Registry: what the cluster's own registry reports of its volume,
	// which all stores in it share; only with registry.clusterRegistry. Default: Registry for a store
	// with clusterRegistry and without capacity, Accounted for all others.
	// +optional
	Usage UsageSource `json:"usage,omitempty"`

	// The claim, in this namespace, of the volume that the registry keeps its data on. The
	// purge mounts it read-only and asks its file system. Only with usage Volume.
	// +optional
	PersistentVolumeClaim *LocalReference `json:"persistentVolumeClaim,omitempty"`

	// What keeps a released digest until the purge. Untagged, the default: nothing but the
	// registry. QuarantineTag: the tag nfo-undo-<first 12 characters of its digest>, for
	// registries that collect untagged digests on their own; a restore or purge removes it.
	// +optional
	// +kubebuilder:default=Untagged
	Undo UndoMode `json:"undo,omitempty"`

	// How long a released artifact can be brought back, from when it was untagged: a Go
	// duration such as 24h. 0s ends the grace at once. The longer of the value at release
	// and the value now counts. Default 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="gracePeriod is not negative"
	GracePeriod metav1.Duration `json:"gracePeriod,omitempty"`

	// Requests to the registry at the same time during a purge. 1 to 64, default 8.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	// +kubebuilder:default=8
	Concurrency int32 `json:"concurrency,omitempty"`

	// The most digests that one purge deletes. What is over is kept, with reason
	// OverBudget, for the next purge. Default 0: no cap.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=0
	MaxDeletions int32 `json:"maxDeletions,omitempty"`

	// Plan and report only; nothing is written to the registry or to tombstones. Default false.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`

	// Keep the CronJob but start no new purge from it. Default false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Defaults of a purge's schedule, as the API server fills them in.
const (
	defaultSchedule = "0 0 * * *"
	defaultTimeZone = "Etc/UTC"
)

// CronSchedule returns the crontab line of the purge CronJob: the default where schedule is absent,
// "" where it is empty, which means that there is no CronJob.
func (p PurgeSpec) CronSchedule() string {
	if p.Schedule == nil {
		return defaultSchedule
	}
	return *p.Schedule
}

// CronTimeZone returns the IANA time zone of the schedule, the default where timeZone is empty.
func (p PurgeSpec) CronTimeZone() string { return cmp.Or(p.TimeZone, defaultTimeZone) }

// PurgeOutcome is how a purge ended.
// +kubebuilder:validation:Enum=Succeeded;Failed;DryRun;UsageUnknown;BelowThreshold
type PurgeOutcome string

// How a purge ended.
const (
	PurgeSucceeded    PurgeOutcome = "Succeeded"
	PurgeFailed       PurgeOutcome = "Failed"
	PurgeDryRun       PurgeOutcome = "DryRun"
	PurgeUsageUnknown PurgeOutcome = "UsageUnknown"
	// PurgeBelowThreshold: less is used than thresholdPercent, so nothing was deleted.
	PurgeBelowThreshold PurgeOutcome = "BelowThreshold"
)

// KeptCount is how many candidate digests were kept for one reason.
type KeptCount struct {
	// The reason, as in the purge's report.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// How many.
	// +required
	Count int32 `json:"count"`
}

// PurgeRun is the record of one purge.
type PurgeRun struct {
	// When it started.
	// +required
	StartTime metav1.Time `json:"startTime"`
	// When it ended.
	// +required
	CompletionTime metav1.Time `json:"completionTime"`
	// How it ended: Succeeded, Failed, DryRun, UsageUnknown or BelowThreshold.
	// +required
	Outcome PurgeOutcome `json:"outcome"`
	// Digests deleted.
	// +required
	Deleted int32 `json:"deleted"`
	// Candidate digests kept.
	// +required
	Kept int32 `json:"kept"`
	// Candidate digests kept, by reason.
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=64
	KeptByReason []KeptCount `json:"keptByReason,omitempty"`
	// Bytes that only the deleted digests reached, each blob counted once. Most registries
	// free the disk at a collection of their own.
	// +optional
	ReclaimedBytes int64 `json:"reclaimedBytes,omitempty"`
	// Bytes that the collection of the cluster's own registry freed on disk which this purge asked
	// for, in all stores together. Absent: the purge asked for none, or did not wait for its end.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FreedBytes *int64 `json:"freedBytes,omitempty"`
	// What to know of it, in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
