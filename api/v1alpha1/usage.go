package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// UsageSource is how usage is measured.
// +kubebuilder:validation:Enum=Accounted;Volume;Registry
type UsageSource string

// How usage is measured.
const (
	// UsageAccounted: by adding up what manifests and tombstones reach.
	UsageAccounted UsageSource = "Accounted"
	// UsageVolume: by asking the file system of the registry's volume.
	UsageVolume UsageSource = "Volume"
	// UsageRegistry: by asking the cluster's own registry how full its volume is.
	UsageRegistry UsageSource = "Registry"
)

// UsageSource returns how the store's usage is measured: as spec.purge.usage says, or by default Registry in the
// cluster's own registry unless a capacity is given, and Accounted otherwise.
func (s *ArtifactStore) UsageSource() UsageSource {
	switch {
	case s.Spec.Purge.Usage != "":
		return s.Spec.Purge.Usage
	case s.InClusterRegistry() && s.Spec.Capacity == nil:
		return UsageRegistry
	}
	return UsageAccounted
}

// StoreUsage is how full a store was when it was last measured.
type StoreUsage struct {
	// How it was measured.
	// +required
	Source UsageSource `json:"source"`
	// Bytes used.
	// +required
	// +kubebuilder:validation:Minimum=0
	UsedBytes int64 `json:"usedBytes"`
	// Bytes that 100 % means; absent when nothing says it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	CapacityBytes *int64 `json:"capacityBytes,omitempty"`
	// Percentage of the capacity in use, rounded down. Unset if no capacity is known.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Percent *int32 `json:"percent,omitempty"`
	// Bytes that a purge could free when it was measured, blobs shared with what is kept not counted.
	// Without a capacity, a threshold and a target, blobs that are kept in repositories without
	// tombstones count as well, because a purge does not read those.
	// +required
	// +kubebuilder:validation:Minimum=0
	ReclaimableBytes int64 `json:"reclaimableBytes"`
	// With source Volume or Registry: bytes that purges have made reclaimable and that the registry
	// has not collected yet, as far as the volume shows. Purges count them as free.
	// +optional
	UncollectedBytes int64 `json:"uncollectedBytes,omitempty"`
	// With source Registry: the number of the collection that a purge asked the registry for last.
	// Once the registry has done it, nothing is uncollected. Absent: none was asked for.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Collection int64 `json:"collection,omitempty"`
	// When it was measured.
	// +required
	MeasuredAt metav1.Time `json:"measuredAt"`
}
