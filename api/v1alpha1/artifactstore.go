package v1alpha1

import (
	"cmp"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ArtifactStore is an OCI registry, or a repository prefix in one, that stores the
// artifacts of this namespace's manifests. It is deleted only when no ArtifactManifest
// and no old-form reference refers to it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=as,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.spec.registry.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Manifests",type=integer,JSONPath=`.status.manifests`
// +kubebuilder:printcolumn:name="Used %",type=integer,JSONPath=`.status.usage.percent`
// +kubebuilder:printcolumn:name="Tombstones",type=integer,JSONPath=`.status.tombstones`
// +kubebuilder:printcolumn:name="Last Purge",type=date,JSONPath=`.status.lastPurge.completionTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 46",message="the name of an ArtifactStore has at most 46 characters, because its CronJob is called <name>-purge"
type ArtifactStore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the store is. Required.
	// +required
	Spec ArtifactStoreSpec `json:"spec"`

	// What the operator has seen of it. Written by the operator only.
	// +optional
	Status ArtifactStoreStatus `json:"status,omitempty"`
}

// ArtifactStoreSpec says where the registry is and how it is purged.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mirror) || has(self.registry.clusterRegistry)",message="a mirror is in the registry that nfo ships: set registry.clusterRegistry"
// +kubebuilder:validation:XValidation:rule="has(self.mirror) == has(oldSelf.mirror)",message="a store cannot become or stop being the mirror; make another store"
// +kubebuilder:validation:XValidation:rule="!has(self.purge) || !has(self.purge.usage) || self.purge.usage != 'Registry' || has(self.registry.clusterRegistry)",message="usage Registry needs registry.clusterRegistry: only the registry that nfo ships reports how full its volume is"
type ArtifactStoreSpec struct {
	// The backing registry. Required.
	// +required
	Registry RegistrySpec `json:"registry"`

	// The quantity of bytes that counts as 100 % of the store, such as 100Gi. With purge.usage Registry
	// the default is the size of the registry's volume. Accounted has no default: a purge that
	// has a threshold and no capacity deletes nothing. With Volume it has no effect.
	// +optional
	Capacity *resource.Quantity `json:"capacity,omitempty"`

	// When and how released artifacts are removed permanently. Absent: every default below.
	// +optional
	// +kubebuilder:default={}
	Purge PurgeSpec `json:"purge,omitempty"`

	// Whose running workloads keep artifacts of this store. Absent: only objects of this group do.
	// +optional
	Workloads *WorkloadsSpec `json:"workloads,omitempty"`

	// This store is the cluster's mirror: it has copies of the images that workloads use, one Artifact for each, and no
	// ArtifactManifests. There is one, which the chart makes (Helm: mirror.enabled) in the operator's namespace, with the
	// name mirror; another one is refused.
	// +optional
	Mirror *MirrorSpec `json:"mirror,omitempty"`
}

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
	// measured, and says UsageUnknown. At most thresholdPercent, if that is above 0.
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
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-+]?(0|(([0-9]+[.]?[0-9]*|[.][0-9]+)((n|u|µ|μ|m)?s|m|h))+)$')",message="gracePeriod must be in hours, minutes and seconds, such as 24h or 1h30m; days are not supported: instead of 1d use 24h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[-+]?(0|(([0-9]+[.]?[0-9]*|[.][0-9]+)((n|u|µ|μ|m)?s|m|h))+)$') || duration(self) >= duration('0s')",message="gracePeriod must not be negative"
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
// "" where it is empty: no CronJob is made.
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
	// How it ended: Succeeded, Failed, UsageUnknown or BelowThreshold.
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
	// free the disk at a collection of their own. Without a capacity, a threshold and a target
	// a purge does not read the repositories that have no tombstones: then blobs that those
	// hold too count as well.
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

// MaxUnresolved is how many unresolved references a store remembers. Purges go on treating those
// beyond it as seen for the first time.
const MaxUnresolved = 256

// MaxUnneeded is how many tags and digests that nothing needs the mirror's store remembers. A purge finds the others again.
const MaxUnneeded = 1024

// MaxAddresses is how many addresses of its registry a store remembers.
const MaxAddresses = 16

// ArtifactCounts counts Artifacts, every 10 minutes.
type ArtifactCounts struct {
	// All of them.
	// +required
	Total int32 `json:"total"`
	// Those that the mirror has.
	// +required
	Present int32 `json:"present"`
	// Those that could not be copied.
	// +required
	Failed int32 `json:"failed"`
	// Those that no workload uses.
	// +required
	Unused int32 `json:"unused"`
}

// ArtifactStoreStatus is what the operator has seen of a store.
type ArtifactStoreStatus struct {
	// The generation of the spec that the operator has seen.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// The value of the annotation nfo.dev/reconcile-now that the registry was last asked for.
	// +optional
	// +kubebuilder:validation:MaxLength=257
	LastReconcileNow string `json:"lastReconcileNow,omitempty"`

	// Ready, Reachable, PurgeHealthy, Referenced; DeletionBlocked while it is being deleted.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Where clients push to and pull from: scheme, host and repository prefix. Unset for a store in the
	// cluster's own registry while that is not enabled.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	URL string `json:"url,omitempty"`

	// PEM certificates, base64, that the certificate of the cluster's own registry chains to. Set for stores in that
	// registry alone.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	CABundle []byte `json:"caBundle,omitempty"`

	// What was learnt of the registry by using it.
	// +optional
	Capabilities RegistryCapabilities `json:"capabilities,omitempty"`

	// The last purge that ended, well or not. A dry run leaves no record.
	// +optional
	LastPurge *PurgeRun `json:"lastPurge,omitempty"`

	// When the last purge ended that succeeded or was not needed.
	// +optional
	LastSuccessTime *metav1.Time `json:"lastSuccessTime,omitempty"`

	// Digests deleted by all purges of this store.
	// +optional
	DeletedTotal int64 `json:"deletedTotal,omitempty"`

	// How full the store was at the last purge. Absent if spec.purge.usage is Accounted and
	// no capacity, threshold or target to compare it with: then it is not measured.
	// +optional
	Usage *StoreUsage `json:"usage,omitempty"`

	// What was read of running workloads, as spec.workloads says. Absent without that.
	// +optional
	Workloads *WorkloadsStatus `json:"workloads,omitempty"`

	// When the store became Ready for the first time. Of stores with overlapping URLs the first one wins. It
	// is removed while the administrator's list of places refuses the store.
	// +optional
	FirstReadyTime *metav1.Time `json:"firstReadyTime,omitempty"`

	// Addresses and port that the registry's host resolved to when the registry last answered, sorted, the
	// first 16. Two stores of different host names that share one may be in the same registry.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	Addresses []string `json:"addresses,omitempty"`

	// References that the last purges found in the registry and could not resolve, at most 256. What
	// such a reference may protect is unknown, so a purge deletes nothing in its repository until a
	// purge has seen the same a grace period later, and at least a minute.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Unresolved []UnresolvedReference `json:"unresolved,omitempty"`

	// How many Artifacts there are, in all namespaces. Set for the mirror's store alone.
	// +optional
	Artifacts *ArtifactCounts `json:"artifacts,omitempty"`

	// Tags and digests in the mirror that no Artifact names and no workload uses, such as after the deletion of a namespace,
	// and since when purges have seen that; at most 1024. The first purge after the grace period removes them. Set for the mirror's
	// store alone.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Unneeded []UnresolvedReference `json:"unneeded,omitempty"`

	// How many ArtifactManifests name this store.
	// +optional
	Manifests *int32 `json:"manifests,omitempty"`

	// How many Tombstones of this namespace can be restored to, or purged from, this store.
	// +optional
	Tombstones *int32 `json:"tombstones,omitempty"`
}

// ArtifactStoreList is a list of ArtifactStores.
// +kubebuilder:object:root=true
type ArtifactStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ArtifactStore `json:"items"`
}
