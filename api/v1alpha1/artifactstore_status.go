package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// MaxUnresolved is how many unresolved references a store remembers. Purges go on treating those
// beyond it as seen for the first time.
const MaxUnresolved = 256

// MaxUnneeded is how many tags that nothing needs the mirror's store remembers. A purge finds the others again.
const MaxUnneeded = 1024

// MaxAddresses is how many addresses of its registry a store remembers.
const MaxAddresses = 16

// UnresolvedReference is a tag that the registry lists, or a digest that something refers to, which
// the registry says does not exist.
type UnresolvedReference struct {
	// The whole repository name in the registry, without the host.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Repository string `json:"repository"`
	// The tag or digest.
	// +required
	// +kubebuilder:validation:MaxLength=256
	TagOrDigest string `json:"tagOrDigest"`
	// When a purge first saw it unresolved. Every purge since has.
	// +required
	Since metav1.Time `json:"since"`
}

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

	// How full the store was at the last purge.
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
	// +listType=map
	// +listMapKey=repository
	// +listMapKey=tagOrDigest
	// +kubebuilder:validation:MaxItems=256
	Unresolved []UnresolvedReference `json:"unresolved,omitempty"`

	// How many Artifacts there are, in all namespaces. Set for the mirror's store alone.
	// +optional
	Artifacts *ArtifactCounts `json:"artifacts,omitempty"`

	// Tags in the mirror that no Artifact names and no workload uses, such as after the deletion of a namespace, and since
	// when purges have seen that; at most 1024. The first purge after the grace period removes them. Set for the mirror's
	// store alone.
	// +optional
	// +listType=map
	// +listMapKey=repository
	// +listMapKey=tagOrDigest
	// +kubebuilder:validation:MaxItems=1024
	Unneeded []UnresolvedReference `json:"unneeded,omitempty"`

	// How many ArtifactManifests name this store.
	// +optional
	Manifests *int32 `json:"manifests,omitempty"`

	// How many Tombstones of this namespace can be restored to, or purged from, this store.
	// +optional
	Tombstones *int32 `json:"tombstones,omitempty"`
}
