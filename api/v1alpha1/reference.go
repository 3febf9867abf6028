package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LocalReference names an object of the same namespace.
type LocalReference struct {
	// The object's whole name, as Kubernetes names objects. Required.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
}

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
