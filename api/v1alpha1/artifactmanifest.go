package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ArtifactManifest is a named, versioned group of artifacts: the images and charts of
// one version of a network function. It is the unit of clean-up. While a
// NetworkFunctionDefinitionVersion or NetworkServiceDesignVersion names it, it cannot be
// deleted. When it is deleted, the tags of its artifacts are removed from the registry and
// recorded in a Tombstone; applying it again within the store's grace period brings
// them back without an upload.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=am,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.spec.artifactStoreRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.artifactManifestState`
// +kubebuilder:selectablefield:JSONPath=`.spec.uploadPath`
// +kubebuilder:selectablefield:JSONPath=`.status.dependentCount`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Uploaded",type=string,JSONPath=`.status.conditions[?(@.type=="Uploaded")].status`
// +kubebuilder:printcolumn:name="Complete",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].status`
// +kubebuilder:printcolumn:name="Held By",type=integer,JSONPath=`.status.dependentCount`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.artifactManifestState`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.uploadPath`
// +kubebuilder:printcolumn:name="Store",type=string,JSONPath=`.spec.artifactStoreRef.name`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.spec.uploadPath == 'StoreScoped' || !has(self.spec.artifacts) || self.spec.artifacts.all(a, self.metadata.name.size() + a.artifactName.size() < 255)",message="a repository name, <manifest>/<artifactName>, has at most 255 characters"
type ArtifactManifest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the manifest groups. Required.
	// +required
	Spec ArtifactManifestSpec `json:"spec"`

	// What the operator has seen of it. Written by the operator only.
	// +optional
	Status ArtifactManifestStatus `json:"status,omitempty"`
}

// ManifestState is AOSM's artifactManifestState.
// +kubebuilder:validation:Enum=Uploading;Uploaded
type ManifestState string

// The states of a manifest.
const (
	ManifestUploading ManifestState = "Uploading"
	ManifestUploaded  ManifestState = "Uploaded"
)

// UploadPath says where a manifest's artifacts are in its store.
// +kubebuilder:validation:Enum=ManifestScoped;StoreScoped
type UploadPath string

// The upload paths.
const (
	ManifestScoped UploadPath = "ManifestScoped"
	StoreScoped    UploadPath = "StoreScoped"
)

// ArtifactManifestSpec says which artifacts a manifest groups. Once it is sealed, no field of it can be changed, but for an
// upgrade of uploadPath, which ends the seal.
//
// +kubebuilder:validation:XValidation:rule="self.uploadPath == oldSelf.uploadPath || oldSelf.uploadPath == 'StoreScoped'",message="uploadPath changes one way only, from StoreScoped to ManifestScoped"
// +kubebuilder:validation:XValidation:rule="self.uploadPath == 'StoreScoped' || !has(self.artifacts) || self.artifacts.all(a, !a.artifactName.contains('/'))",message="an artifactName is one path segment, without '/', unless uploadPath is StoreScoped"
// +kubebuilder:validation:XValidation:rule="oldSelf.artifactManifestState != 'Uploaded' || self.uploadPath != oldSelf.uploadPath || self.artifactManifestState == 'Uploaded'",message="a sealed manifest (artifactManifestState Uploaded) stays sealed; make a new manifest for a new version"
// +kubebuilder:validation:XValidation:rule="oldSelf.artifactManifestState != 'Uploaded' || self.uploadPath != oldSelf.uploadPath || (has(self.artifacts) == has(oldSelf.artifacts) && (!has(self.artifacts) || self.artifacts == oldSelf.artifacts))",message="the artifacts of a sealed manifest (artifactManifestState Uploaded) cannot be changed; make a new manifest for a new version"
type ArtifactManifestSpec struct {
	// The ArtifactStore of this namespace that the artifacts are in. Cannot be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the store of a manifest cannot be changed; make another manifest"
	ArtifactStoreRef LocalReference `json:"artifactStoreRef"`

	// Uploading: the list of artifacts can be changed. Uploaded: sealed, nothing can be
	// changed any more. Default Uploading.
	// +optional
	// +kubebuilder:default=Uploading
	ArtifactManifestState ManifestState `json:"artifactManifestState,omitempty"`

	// ManifestScoped: artifacts are stored at <store prefix>/<manifest name>/<artifactName>, and
	// the manifest's deletion untags them. StoreScoped: the form before AOSM's 2025-03-30 API;
	// artifacts are stored at <store prefix>/<artifactName> and deletion never touches the registry
	// and is never blocked. Changes one way only, to ManifestScoped. Default ManifestScoped.
	// +optional
	// +kubebuilder:default=ManifestScoped
	UploadPath UploadPath `json:"uploadPath,omitempty"`

	// The artifacts, at most 512, each name and version once. Removing an entry releases it as
	// deleting the manifest would, but only while nothing references the manifest.
	// +optional
	// +listType=map
	// +listMapKey=artifactName
	// +listMapKey=artifactVersion
	// +kubebuilder:validation:MaxItems=512
	Artifacts []ManifestArtifact `json:"artifacts,omitempty"`
}

// ManifestArtifact is one image, chart or other OCI artifact of a manifest.
type ManifestArtifact struct {
	// The last part of the repository name: lower case letters, digits, and single
	// separators ('.', '_', '__' or dashes) between them, at most 255 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`
	ArtifactName string `json:"artifactName"`

	// What the artifact is, in AOSM's words. Only OCIArtifact is handled. Default OCIArtifact.
	// +optional
	// +kubebuilder:default=OCIArtifact
	// +kubebuilder:validation:Enum=OCIArtifact
	ArtifactType string `json:"artifactType,omitempty"`

	// The tag: a letter, digit or '_', then letters, digits, '_', '.' or '-', at most 128
	// characters. A chart version with '+' is pushed by Helm with '_' in its place.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9._-]*$`
	ArtifactVersion string `json:"artifactVersion"`
}

// ArtifactState is what the registry showed of an artifact.
// +kubebuilder:validation:Enum=Missing;Present;Moved;Untagged
type ArtifactState string

// The states of an artifact.
const (
	ArtifactMissing  ArtifactState = "Missing"
	ArtifactPresent  ArtifactState = "Present"
	ArtifactMoved    ArtifactState = "Moved"
	ArtifactUntagged ArtifactState = "Untagged"
)

// ArtifactStatus is what the registry showed of one artifact.
type ArtifactStatus struct {
	// As in the spec, or as it was in the spec when the entry has not been released yet.
	// +required
	// +kubebuilder:validation:MaxLength=255
	ArtifactName string `json:"artifactName"`
	// As in the spec; also the tag.
	// +required
	// +kubebuilder:validation:MaxLength=128
	ArtifactVersion string `json:"artifactVersion"`
	// The whole repository name in the registry, without the host.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Repository string `json:"repository,omitempty"`
	// The digest that the tag was last seen at; once the manifest is sealed, the digest that
	// it was first seen at. It is kept from every purge while the manifest exists, also when
	// the tag has vanished or moved.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Digest string `json:"digest,omitempty"`
	// The media type of what the tag points at.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	MediaType string `json:"mediaType,omitempty"`
	// The media type of the image manifest's config, which tells a chart from an image. Empty for an
	// index, and while it is not known.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ConfigMediaType string `json:"configMediaType,omitempty"`
	// Bytes of what the tag points at: the image manifest or index alone.
	// +optional
	Size int64 `json:"size,omitempty"`
	// The digest that the tag was last seen at, where the manifest is sealed and that is another
	// one than digest. mediaType and size stay those of digest.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	MovedTo string `json:"movedTo,omitempty"`
	// Missing: the tag is not there. Present: it is. Moved: the manifest is sealed and somebody
	// has overwritten the tag. Untagged: released, the tag removed.
	// +required
	State ArtifactState `json:"state"`
	// Why a restore that was asked for could not be done, in one word and a sentence. Absent
	// otherwise, and from when the tag is seen Present.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// Dependent is an object that holds another one.
type Dependent struct {
	// The holder's kind. Kinds that are neither of this group nor of Kubernetes have their group behind them, as in
	// Kafka.kafka.strimzi.io.
	// +required
	// +kubebuilder:validation:MaxLength=317
	Kind string `json:"kind"`
	// The holder's namespace.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// The holder's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// The artifacts that the holder names, as name:version; at most 8.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Artifacts []string `json:"artifacts,omitempty"`
}

// Dependents is what holds an object, as its status shows it.
type Dependents struct {
	// What holds this object, sorted; the first 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Dependents []Dependent `json:"dependents,omitempty"`
	// How many objects hold this one. Absent until it was counted.
	// +optional
	DependentCount *int32 `json:"dependentCount,omitempty"`
}

// ArtifactManifestStatus is what the operator has seen of a manifest.
type ArtifactManifestStatus struct {
	// The generation of the spec that the operator has seen.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// The value of the annotation nfo.dev/reconcile-now that the registry was last asked for, followed by that of the store.
	// +optional
	// +kubebuilder:validation:MaxLength=257
	LastReconcileNow string `json:"lastReconcileNow,omitempty"`

	// Ready, Uploaded, Complete, Referenced, Migrated; while it is being deleted DeletionBlocked and Untagged.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Each artifact as the registry showed it last. An entry removed from the spec stays
	// here until it is released.
	// +optional
	// +listType=atomic
	Artifacts []ArtifactStatus `json:"artifacts,omitempty"`

	// The charts among the artifacts, each with the images that it needs.
	// +optional
	// +listType=atomic
	Charts []ChartStatus `json:"charts,omitempty"`

	// StoreScoped until all artifacts of a manifest that was StoreScoped are at its new path.
	// +optional
	UpgradingFrom UploadPath `json:"upgradingFrom,omitempty"`

	Dependents `json:",inline"`
}

// Unreleased returns the artifacts in the status whose entries left the spec and have not been
// released: an object may hold the manifest, so that their tags must stay as if they were listed.
func (m *ArtifactManifest) Unreleased() []ArtifactStatus {
	if len(m.Status.Artifacts) == 0 {
		return nil
	}
	type entry struct{ name, version string }
	listed := make(map[entry]bool, len(m.Spec.Artifacts))
	for _, a := range m.Spec.Artifacts {
		listed[entry{a.ArtifactName, a.ArtifactVersion}] = true
	}
	var left []ArtifactStatus
	for _, a := range m.Status.Artifacts {
		if !listed[entry{a.ArtifactName, a.ArtifactVersion}] {
			left = append(left, a)
		}
	}
	return left
}

// ArtifactManifestList is a list of ArtifactManifests.
// +kubebuilder:object:root=true
type ArtifactManifestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ArtifactManifest `json:"items"`
}

// Orphaned reports whether a manifest, or a store, says by AnnotationOnDelete that its deletion leaves the registry as it is.
func Orphaned(o metav1.Object) bool { return o.GetAnnotations()[AnnotationOnDelete] == OnDeleteOrphan }
