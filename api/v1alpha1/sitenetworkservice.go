package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SiteNetworkService is a network service as an operator runs it at a site. It holds the design
// that it is deployed from, which holds its definitions, which hold their manifests: while the
// site exists, none of them can be deleted.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=sns,categories=nfo
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Publisher",type=string,JSONPath=`.spec.networkServiceDesignVersionRef.namespace`
// +kubebuilder:printcolumn:name="Design",type=string,JSONPath=`.spec.networkServiceDesignVersionRef.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SiteNetworkService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the site runs. Required.
	// +required
	Spec SiteNetworkServiceSpec `json:"spec"`

	// What the operator has seen of it. Written by the operator only.
	// +optional
	Status VersionStatus `json:"status,omitempty"`
}

// SiteNetworkServiceSpec says what a site runs.
type SiteNetworkServiceSpec struct {
	// The design that the site is deployed from. Anyone who sets it to a design of another
	// namespace needs the verb "use" on that NetworkServiceDesignVersion. It can be changed to
	// another version; this site then no longer protects the previous one.
	// +required
	NetworkServiceDesignVersionRef DesignReference `json:"networkServiceDesignVersionRef"`
}

// DesignReference names a NetworkServiceDesignVersion, the one thing that may be of another
// namespace.
type DesignReference struct {
	// The namespace, which stands for the publisher. Absent: the site's own.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$`
	Namespace string `json:"namespace,omitempty"`

	// The design's whole name. Required.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
}

// VersionStatus returns the object's status, to read and to change.
func (s *SiteNetworkService) VersionStatus() *VersionStatus { return &s.Status }

// SiteNetworkServiceList is a list of SiteNetworkServices.
// +kubebuilder:object:root=true
type SiteNetworkServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SiteNetworkService `json:"items"`
}
