package inventory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Upgraded returns a copy of a manifest that is ManifestScoped.
func Upgraded(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
	m = m.DeepCopy()
	m.Spec.UploadPath = v1alpha1.ManifestScoped
	return m
}

// Sealed reports whether a manifest promises digests: it is sealed, and its artifacts are its own.
func Sealed(m *v1alpha1.ArtifactManifest) bool {
	return m.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded && m.Spec.UploadPath != v1alpha1.StoreScoped
}

// Uploaded returns the condition that says whether the registry has all artifacts, or nil before the first poll.
func Uploaded(m *v1alpha1.ArtifactManifest) *metav1.Condition {
	return apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionUploaded)
}

// Sealing reports whether it is still open which digests were sealed. The first poll after the
// sealing that confirms the recorded digests settles it, because the last poll before the
// sealing may be minutes old, the publisher may have pushed since, and one poll alone may be
// wrong. If the status was lost, the annotation nfo.dev/sealed-digests has the sealed digests.
//
// A generation that has not been polled yet is taken to be the sealing, because the schema allows no later change:
// every field of a sealed manifest's spec is immutable. A StoreScoped manifest that is upgraded is no longer sealed.
func Sealing(m *v1alpha1.ArtifactManifest) bool {
	c, generation := Uploaded(m), m.Generation
	if !m.DeletionTimestamp.IsZero() {
		generation-- // the start of the deletion increased the generation
	}
	if !Sealed(m) || sealedDigests(m) != nil {
		return false
	}
	if c == nil { // never polled, or the status was lost
		return !slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return a.Digest != "" })
	}
	return c.ObservedGeneration < generation
}

// sealedDigests returns the digests that the annotation nfo.dev/sealed-digests records for the artifacts of a
// sealed manifest, in their order. It returns nil if the annotation is missing or does not fit the artifacts.
func sealedDigests(m *v1alpha1.ArtifactManifest) []string {
	if !Sealed(m) || len(m.Spec.Artifacts) == 0 {
		return nil
	}
	digests := strings.Split(m.Annotations[v1alpha1.AnnotationSealedDigests], ",")
	if len(digests) != len(m.Spec.Artifacts) || slices.ContainsFunc(digests, func(d string) bool { return digest.Digest(d).Validate() != nil }) {
		return nil
	}
	return digests
}

// Promised reports whether the recorded digests of a manifest are the sealed ones.
func Promised(m *v1alpha1.ArtifactManifest) bool { return Sealed(m) && !Sealing(m) }

// LastSeen returns an entry at the digest that its tag was last seen at.
func LastSeen(e v1alpha1.ArtifactStatus) v1alpha1.ArtifactStatus {
	if e.MovedTo != "" {
		e.Digest, e.MediaType, e.Size = e.MovedTo, "", 0
	}
	return e
}

// Moved returns the artifacts whose tags are not at their sealed digests.
func Moved(artifacts []v1alpha1.ArtifactStatus) []string {
	var names []string
	for _, a := range artifacts {
		if a.State == v1alpha1.ArtifactMoved {
			names = append(names, fmt.Sprintf("%s:%s (sealed at %s%s, now at %s)", a.Repository, a.ArtifactVersion, a.Digest, lost(a), a.MovedTo))
		}
	}
	return names
}

// lost returns the note that an entry's recorded digest no longer exists and could not be restored, or "".
func lost(a v1alpha1.ArtifactStatus) string {
	if a.Reason == "" {
		return ""
	}
	return ", which is not in the registry any more: push it again"
}
