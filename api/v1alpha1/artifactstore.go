package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ArtifactStore is one OCI registry, or one path prefix in a registry, that the
// artifacts of this namespace's manifests lie in. It is deleted only when no
// ArtifactManifest and no old-form reference names it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=as,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.spec.registry.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.registry.url`
// +kubebuilder:printcolumn:name="Manifests",type=integer,JSONPath=`.status.manifests`
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
type ArtifactStoreSpec struct {
	// The backing registry. Required.
	// +required
	Registry RegistrySpec `json:"registry"`

	// What 100 % of the store means, as a quantity of bytes such as 100Gi, where the
	// registry cannot say it. Without it a purge threshold has nothing to compare with
	// and a purge that has a threshold deletes nothing.
	// +optional
	Capacity *resource.Quantity `json:"capacity,omitempty"`

	// When and how released artifacts are removed for good. Absent: every default below.
	// +optional
	// +kubebuilder:default={}
	Purge PurgeSpec `json:"purge,omitempty"`
}

// RegistrySpec says how to reach an OCI registry.
type RegistrySpec struct {
	// Scheme, host and optional repository prefix: https://registry.example.com/acme.
	// http:// means plain HTTP. No user, query or fragment. Cannot be changed. URLs are
	// disjoint over the whole cluster: where two stores' URLs are equal or one is a prefix
	// of the other by path segments, the older store wins and the other does nothing.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*/?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the registry URL of a store cannot be changed; make another store"
	URL string `json:"url"`

	// A Secret of this namespace, of type kubernetes.io/dockerconfigjson or
	// kubernetes.io/basic-auth, with the right to read, push and delete. Absent: anonymous.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`

	// PEM certificates, base64, that the registry's certificate must chain to. Absent: the
	// system's certificates.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	CABundle []byte `json:"caBundle,omitempty"`
}

// PurgeSpec says when released artifacts are removed for good.
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

	// A purge starts when at least this percentage of the capacity is used. Default 0:
	// always. This version cannot measure usage yet: with a value above 0 a purge deletes
	// nothing and says UsageUnknown.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=0
	ThresholdPercent int32 `json:"thresholdPercent,omitempty"`

	// A purge stops when at most this percentage is used. Default 0: sweep all that may go.
	// As with thresholdPercent, a value above 0 makes a purge delete nothing in this version.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=0
	TargetPercent int32 `json:"targetPercent,omitempty"`

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

// LocalReference names an object of the same namespace.
type LocalReference struct {
	// The object's whole name. Required.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Support says whether a registry can do a thing: Unknown until it was tried.
// +kubebuilder:validation:Enum=Unknown;Supported;Unsupported
type Support string

// What is known of a capability.
const (
	SupportUnknown Support = "Unknown"
	Supported      Support = "Supported"
	Unsupported    Support = "Unsupported"
)

// RegistryCapabilities is what was learnt of the registry by using it. Nothing is
// written to a registry in order to learn it.
type RegistryCapabilities struct {
	// Whether a tag can be removed alone, its digest staying. Learnt at the first release.
	// Unsupported: a released tag stays until the purge removes it with its digest.
	// +optional
	TagDelete Support `json:"tagDelete,omitempty"`

	// Whether deletion is enabled at the registry at all. Learnt at the first release or
	// purge. Unsupported: tombstones wait, and the store says so.
	// +optional
	Delete Support `json:"delete,omitempty"`
}

// PurgeOutcome is how a purge ended.
// +kubebuilder:validation:Enum=Succeeded;Failed;DryRun;UsageUnknown
type PurgeOutcome string

// How a purge ended.
const (
	PurgeSucceeded    PurgeOutcome = "Succeeded"
	PurgeFailed       PurgeOutcome = "Failed"
	PurgeDryRun       PurgeOutcome = "DryRun"
	PurgeUsageUnknown PurgeOutcome = "UsageUnknown"
)

// PurgeRun is the record of one purge.
type PurgeRun struct {
	// When it started.
	// +required
	StartTime metav1.Time `json:"startTime"`
	// When it ended.
	// +required
	CompletionTime metav1.Time `json:"completionTime"`
	// How it ended: Succeeded, Failed, DryRun or UsageUnknown.
	// +required
	Outcome PurgeOutcome `json:"outcome"`
	// Digests deleted.
	// +required
	Deleted int32 `json:"deleted"`
	// Candidate digests kept.
	// +required
	Kept int32 `json:"kept"`
	// What to know of it, in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ArtifactStoreStatus is what the operator has seen of a store.
type ArtifactStoreStatus struct {
	// Ready, Reachable, PurgeHealthy, Referenced; DeletionBlocked while it is being deleted.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// What was learnt of the registry by using it.
	// +optional
	Capabilities RegistryCapabilities `json:"capabilities,omitempty"`

	// The last purge that ended, well or not. A dry run leaves no record.
	// +optional
	LastPurge *PurgeRun `json:"lastPurge,omitempty"`

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

// Winner returns the store among others that this one must yield to: an older one with an
// equal or overlapping URL, in any namespace. Age is creationTimestamp, then UID. nil when
// there is none. Stores whose URL cannot be parsed win over nobody.
func (s *ArtifactStore) Winner(others []ArtifactStore) *ArtifactStore {
	here, err := ParseRegistryURL(s.Spec.Registry.URL)
	if err != nil {
		return nil
	}
	for i := range others {
		o := &others[i]
		there, err := ParseRegistryURL(o.Spec.Registry.URL)
		if err != nil || o.UID == s.UID || !here.Overlaps(there) {
			continue
		}
		if age := o.CreationTimestamp.Compare(s.CreationTimestamp.Time); age < 0 || (age == 0 && o.UID < s.UID) {
			return o
		}
	}
	return nil
}
