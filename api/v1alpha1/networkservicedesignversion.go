package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NetworkServiceDesignVersion is one version of a network service: the templates it is
// made of, the manifests that these are in, and the definitions that they deploy. It
// holds all of them, in every versionState.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=nsdv,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.spec.versionState`
// +kubebuilder:selectablefield:JSONPath=`.status.dependentCount`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Held By",type=integer,JSONPath=`.status.dependentCount`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.versionState`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NetworkServiceDesignVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the version is made of. Required.
	// +required
	Spec NetworkServiceDesignVersionSpec `json:"spec"`

	// What the operator has seen of it. Written by the operator only.
	// +optional
	Status VersionStatus `json:"status,omitempty"`
}

// NetworkServiceDesignVersionSpec says what a network service is made of.
type NetworkServiceDesignVersionSpec struct {
	// Preview, Active or Deprecated; the version holds what it names in each. Default Preview.
	// +optional
	// +kubebuilder:default=Preview
	VersionState VersionState `json:"versionState,omitempty"`

	// The templates, each name once, 1 to 128.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	ResourceElementTemplates []ResourceElementTemplate `json:"resourceElementTemplates"`
}

// ResourceElementType is AOSM's type of a resource element.
// +kubebuilder:validation:Enum=ArmResourceDefinition;NetworkFunctionDefinition
type ResourceElementType string

// The types of resource elements.
const (
	ArmResourceDefinition     ResourceElementType = "ArmResourceDefinition"
	NetworkFunctionDefinition ResourceElementType = "NetworkFunctionDefinition"
)

// ResourceElementTemplate is one template of a network service.
type ResourceElementTemplate struct {
	// The template's name, unique in the design.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// ArmResourceDefinition or NetworkFunctionDefinition.
	// +required
	Type ResourceElementType `json:"type"`

	// What the template deploys and where it is stored.
	// +required
	Configuration ResourceElementConfiguration `json:"configuration"`
}

// ResourceElementConfiguration says what a template deploys and where it is stored.
type ResourceElementConfiguration struct {
	// The artifact that the template is. Absent: the template names a definition only.
	// +optional
	ArtifactProfile *TemplateArtifactProfile `json:"artifactProfile,omitempty"`

	// The NetworkFunctionDefinitionVersion of this namespace that the template deploys; it
	// cannot be deleted while it is named here. Absent: none.
	// +optional
	NetworkFunctionDefinitionVersionRef *LocalReference `json:"networkFunctionDefinitionVersionRef,omitempty"`
}

// TemplateArtifactProfile names one artifact by name and version.
type TemplateArtifactProfile struct {
	ArtifactSource `json:",inline"`

	// An artifactName of the manifest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	ArtifactName string `json:"artifactName"`

	// An artifactVersion of the manifest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ArtifactVersion string `json:"artifactVersion"`
}

// VersionStatus returns the object's status, to read and to change.
func (v *NetworkServiceDesignVersion) VersionStatus() *VersionStatus { return &v.Status }

// NetworkServiceDesignVersionList is a list of NetworkServiceDesignVersions.
// +kubebuilder:object:root=true
type NetworkServiceDesignVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NetworkServiceDesignVersion `json:"items"`
}
