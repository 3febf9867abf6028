package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MirrorImages says which images are mirrored.
// +kubebuilder:validation:Enum=KnownStores;All
type MirrorImages string

// Which images are mirrored.
const (
	// MirrorKnownStores: those in the registries and prefixes of ArtifactStores.
	MirrorKnownStores MirrorImages = "KnownStores"
	// MirrorAll: all.
	MirrorAll MirrorImages = "All"
)

// RewritePolicy says when a pod is made to pull an image from the mirror.
// +kubebuilder:validation:Enum=Present;Always;Never
type RewritePolicy string

// When a pod pulls from the mirror.
const (
	// RewritePresent: if the mirror has the image when the pod is created; otherwise the pod pulls from the source.
	RewritePresent RewritePolicy = "Present"
	// RewriteAlways: in any case. A pod waits until its images have been copied, which nodes without a way to the source
	// need.
	RewriteAlways RewritePolicy = "Always"
	// RewriteNever: pods stay as they are, such as where the nodes' container runtime is configured to use the mirror.
	RewriteNever RewritePolicy = "Never"
)

// MirrorSpec says what is mirrored, and how pods come to pull it.
type MirrorSpec struct {
	// KnownStores, the default: images in the registries and prefixes of this cluster's ArtifactStores. All: every image.
	// +optional
	// +kubebuilder:default=KnownStores
	Images MirrorImages `json:"images,omitempty"`

	// Namespaces whose workloads are mirrored. Absent: all but the operator's own.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Present, the default, Always or Never.
	// +optional
	// +kubebuilder:default=Present
	Rewrite RewritePolicy `json:"rewrite,omitempty"`

	// What stands before an image's name in pods that pull from the mirror: host, port and, unless an agent on the node
	// answers there, the prefix of the mirror, such as 127.0.0.1:7439 or 10.96.0.50/mirror.nfo.dev.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^(([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*)?$`
	PullAddress string `json:"pullAddress,omitempty"`

	// How often the source is asked whether a tag has moved on; at least 1m. Default: 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-+]?(0|(([0-9]+[.]?[0-9]*|[.][0-9]+)((n|u|µ|μ|m)?s|m|h))+)$')",message="refreshPeriod must be in hours, minutes and seconds, such as 24h or 1h30m; days are not supported: instead of 1d use 24h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[-+]?(0|(([0-9]+[.]?[0-9]*|[.][0-9]+)((n|u|µ|μ|m)?s|m|h))+)$') || duration(self) >= duration('1m')",message="refreshPeriod must be at least 1m"
	RefreshPeriod metav1.Duration `json:"refreshPeriod,omitempty"`

	// Secrets of the mirror's namespace, of type kubernetes.io/dockerconfigjson, that images are also read with, after
	// those of the pods, of their ServiceAccounts and of the stores.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []LocalReference `json:"imagePullSecrets,omitempty"`
}
