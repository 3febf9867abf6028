package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Artifact is an image that workloads of this namespace use, by one image reference, and its copy in the mirror, from
// which the cluster's nodes pull it. The operator makes it for what a namespace uses, and removes it when nothing has
// used it for the grace period of the mirror's store. Made by hand it asks for a copy in advance. Deleting it copies
// nothing and deletes nothing in a registry: if a workload uses the image, it comes back, and if not, the next purge of
// the mirror removes the copy.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=art,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Copied %",type=integer,JSONPath=`.status.copiedPercent`
// +kubebuilder:printcolumn:name="Users",type=integer,JSONPath=`.status.userCount`
// +kubebuilder:printcolumn:name="Unused Since",type=date,JSONPath=`.status.unusedSince`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Source",type=string,JSONPath=`.spec.sourceArtifact`
type Artifact struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Which image. Required.
	// +required
	Spec ArtifactSpec `json:"spec"`

	// Where its copy is, and who uses it. Written by the operator only.
	// +optional
	Status MirrorStatus `json:"status,omitempty"`
}

// ArtifactSpec names an image.
type ArtifactSpec struct {
	// The image reference in full, with host, repository, and a tag or a digest or both:
	// registry.example.com/acme/upf:1.0.0, docker.io/library/nginx:1.27. Cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the image of an Artifact cannot be changed; make another Artifact"
	SourceArtifact string `json:"sourceArtifact"`
}

// MirrorState is what the mirror has of an image.
// +kubebuilder:validation:Enum=Pending;Copying;Present;Corrupt;Failed;Releasing
type MirrorState string

// What the mirror has of an image.
const (
	// MirrorPending: nothing has been copied yet.
	MirrorPending MirrorState = "Pending"
	// MirrorCopying: it is being copied.
	MirrorCopying MirrorState = "Copying"
	// MirrorPresent: the mirror has all of it, and nodes pull it from there.
	MirrorPresent MirrorState = "Present"
	// MirrorCorrupt: the mirror had it, and something of it is missing or damaged; it is copied again.
	MirrorCorrupt MirrorState = "Corrupt"
	// MirrorFailed: it could not be copied; the condition Ready says why, and when it is tried again.
	MirrorFailed MirrorState = "Failed"
	// MirrorReleasing: a purge has claimed it, because nothing uses it, and removes the copy.
	MirrorReleasing MirrorState = "Releasing"
)

// MirrorStatus is the copy of an image and the use of it.
type MirrorStatus struct {
	// The generation of the spec that the operator has seen.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// The value of the annotation nfo.dev/reconcile-now that the registry was last asked for, followed by that of the mirror's store.
	// +optional
	// +kubebuilder:validation:MaxLength=257
	LastReconcileNow string `json:"lastReconcileNow,omitempty"`
	// Pending, Copying, Present, Corrupt, Failed or Releasing.
	// +optional
	State MirrorState `json:"state,omitempty"`
	// The repository of the copy in the cluster's own registry.
	// +optional
	Repository string `json:"repository,omitempty"`
	// The digest that was copied: that of the source's tag when it was last looked at.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Digest string `json:"digest,omitempty"`
	// Media type of that digest.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	MediaType string `json:"mediaType,omitempty"`
	// Bytes of the image with all platforms that were copied.
	// +optional
	Size int64 `json:"size,omitempty"`
	// How much of it has been copied, in percent; written at most every 10 seconds.
	// +optional
	CopiedPercent *int32 `json:"copiedPercent,omitempty"`
	// The Secret of this namespace with which the source was read last; absent if none was needed.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`
	// When the source answered last; written at most once an hour while it does.
	// +optional
	SourceSeenAt *metav1.Time `json:"sourceSeenAt,omitempty"`
	// Since when the source has not answered; absent while it does. Nothing is removed for that.
	// +optional
	SourceUnreachableSince *metav1.Time `json:"sourceUnreachableSince,omitempty"`
	// Who uses the image, sorted, the first 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Users []ArtifactUser `json:"users,omitempty"`
	// How many use it.
	// +optional
	UserCount int32 `json:"userCount,omitempty"`
	// When the use of it was last read.
	// +optional
	UsersReadAt *metav1.Time `json:"usersReadAt,omitempty"`
	// Since when nothing uses it; absent while something does. The mirror's next purge after the grace period removes the
	// copy.
	// +optional
	UnusedSince *metav1.Time `json:"unusedSince,omitempty"`
	// Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ArtifactUser is a workload that uses an image: the object at the top, such as the Deployment of a pod.
type ArtifactUser struct {
	// Kind of the object.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Kind string `json:"kind"`
	// Name of the object.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// What of the object uses the image, such as "container upf" or "revision 3".
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Detail string `json:"detail,omitempty"`
}

// ArtifactList is a list of Artifacts.
// +kubebuilder:object:root=true
type ArtifactList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Artifact `json:"items"`
}

// Kept reports whether somebody asked that the copy stay, whether anything uses it or not; see AnnotationKeep.
func (a *Artifact) Kept() bool {
	_, keep := a.Annotations[AnnotationKeep]
	return keep
}

// Releasing reports whether a purge has claimed the copy.
func (a *Artifact) Releasing() bool { return a.Status.State == MirrorReleasing }

// maxArtifactName is how much of an image's name is in that of its Artifact.
const maxArtifactName = 48

// ArtifactName is the name of the Artifact of an image reference in full: what people recognise of it, and a hash of it.
func ArtifactName(source string) string {
	sum := sha256.Sum256([]byte(source))
	image, _, _ := strings.Cut(source, "@")
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, path.Base(image))
	readable = strings.Trim(readable[:min(len(readable), maxArtifactName)], "-.")
	// A label of a DNS name neither begins nor ends with a hyphen.
	for _, between := range []string{"-.", ".-", ".."} {
		for strings.Contains(readable, between) {
			readable = strings.ReplaceAll(readable, between, ".")
		}
	}
	return strings.TrimLeft(readable+"-"+hex.EncodeToString(sum[:5]), "-")
}
