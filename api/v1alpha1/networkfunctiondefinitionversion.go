package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NetworkFunctionDefinitionVersion is one version of a network function: the charts it
// is made of and the manifests that they are in. It holds these manifests, in every
// versionState; it is itself held by the designs that name it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=nfdv,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.spec.versionState`
// +kubebuilder:selectablefield:JSONPath=`.status.dependentCount`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Held By",type=integer,JSONPath=`.status.dependentCount`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.versionState`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NetworkFunctionDefinitionVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the version is made of. Required.
	// +required
	Spec NetworkFunctionDefinitionVersionSpec `json:"spec"`

	// What the operator has seen of it. Written by the operator only.
	// +optional
	Status DefinitionStatus `json:"status,omitempty"`
}

// VersionState is AOSM's versionState.
// +kubebuilder:validation:Enum=Preview;Active;Deprecated
type VersionState string

// The states of a version.
const (
	VersionPreview    VersionState = "Preview"
	VersionActive     VersionState = "Active"
	VersionDeprecated VersionState = "Deprecated"
)

// NetworkFunctionDefinitionVersionSpec says what a network function is made of.
type NetworkFunctionDefinitionVersionSpec struct {
	// The version holds its manifests in each state. Preview: the version can be changed. Active:
	// it cannot, and the manifests that it names must be sealed. Deprecated: not for new
	// deployments; it cannot be changed either, and can become Active again. Default Preview.
	// +optional
	// +kubebuilder:default=Preview
	VersionState VersionState `json:"versionState,omitempty"`

	// The applications of the network function. Required.
	// +required
	NetworkFunctionTemplate NetworkFunctionTemplate `json:"networkFunctionTemplate"`
}

// NetworkFunctionTemplate lists the applications of a network function.
type NetworkFunctionTemplate struct {
	// The applications, each name once, 1 to 128.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	NetworkFunctionApplications []NetworkFunctionApplication `json:"networkFunctionApplications"`
}

// NetworkFunctionApplication is one Helm release of a network function.
type NetworkFunctionApplication struct {
	// The application's name, unique in the definition.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// What is deployed. Only HelmPackage is handled. Default HelmPackage.
	// +optional
	// +kubebuilder:default=HelmPackage
	// +kubebuilder:validation:Enum=HelmPackage
	ArtifactType string `json:"artifactType,omitempty"`

	// Where the chart is stored.
	// +required
	ArtifactProfile HelmApplicationProfile `json:"artifactProfile"`

	// In which order the applications are handled. Absent: in the order of the list.
	// +optional
	DependsOnProfile *DependsOnProfile `json:"dependsOnProfile,omitempty"`
}

// ArtifactSource names where artifacts come from: a manifest or, in the form before AOSM's
// 2025-03-30 API, only a store.
//
// +kubebuilder:validation:XValidation:rule="has(self.artifactManifestRef) != has(self.artifactStoreRef)",message="set exactly one of artifactManifestRef and artifactStoreRef (the old form)"
type ArtifactSource struct {
	// The ArtifactManifest of this namespace; it cannot be deleted while it is named here.
	// +optional
	ArtifactManifestRef *LocalReference `json:"artifactManifestRef,omitempty"`

	// The old form: the ArtifactStore of this namespace. It holds every ManifestScoped
	// manifest of that store that lists the named artifact, in any version.
	// +optional
	ArtifactStoreRef *LocalReference `json:"artifactStoreRef,omitempty"`
}

// HelmApplicationProfile says where a chart is stored and what it is called.
type HelmApplicationProfile struct {
	ArtifactSource `json:",inline"`

	// The chart.
	// +required
	HelmArtifactProfile HelmArtifactProfile `json:"helmArtifactProfile"`
}

// HelmArtifactProfile names a chart and how it takes its registry.
type HelmArtifactProfile struct {
	// The chart's name, which is an artifactName of the manifest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	HelmPackageName string `json:"helmPackageName"`

	// A SemVer range such as ~1.0.0 that one artifactVersion of the manifest meets.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	HelmPackageVersionRange string `json:"helmPackageVersionRange"`

	// Paths in the chart's values that take the registry's host, such as global.registry.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	RegistryValuesPaths []string `json:"registryValuesPaths,omitempty"`

	// Paths in the chart's values that take the image pull secrets.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	ImagePullSecretsValuesPaths []string `json:"imagePullSecretsValuesPaths,omitempty"`
}

// DependsOnProfile orders an application after others of the same definition.
type DependsOnProfile struct {
	// Applications installed before this one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=253
	InstallDependsOn []string `json:"installDependsOn,omitempty"`
	// Applications uninstalled before this one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=253
	UninstallDependsOn []string `json:"uninstallDependsOn,omitempty"`
	// Applications updated before this one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=253
	UpdateDependsOn []string `json:"updateDependsOn,omitempty"`
}

// VersionStatus is what the operator has seen of a definition, design or site.
type VersionStatus struct {
	// The generation of the spec that the operator has seen.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Ready, Resolved, Referenced, and Migrated but of a site; DeletionBlocked while it is being deleted. Once Resolved
	// is True the version is admitted: what it names cannot be released any more.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	Dependents `json:",inline"`
}

// DefinitionStatus is what the operator has seen of a definition.
type DefinitionStatus struct {
	VersionStatus `json:",inline"`

	// What each application is deployed from, as far as it could be resolved.
	// +optional
	// +listType=atomic
	Applications []ApplicationStatus `json:"applications,omitempty"`
}

// VersionStatus returns what its status has in common with other versions, to read and to change.
func (v *NetworkFunctionDefinitionVersion) VersionStatus() *VersionStatus {
	return &v.Status.VersionStatus
}

// NetworkFunctionDefinitionVersionList is a list of NetworkFunctionDefinitionVersions.
// +kubebuilder:object:root=true
type NetworkFunctionDefinitionVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NetworkFunctionDefinitionVersion `json:"items"`
}
