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

// Upgraded is a manifest as it is once it is ManifestScoped.
func Upgraded(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
	m = m.DeepCopy()
	m.Spec.UploadPath = v1alpha1.ManifestScoped
	return m
}

// Sealed reports whether a manifest promises digests: it is sealed, and its artifacts are its own.
func Sealed(m *v1alpha1.ArtifactManifest) bool {
	return m.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded && m.Spec.UploadPath != v1alpha1.StoreScoped
}

// Uploaded is the condition that says whether the registry has all; nil before the first look.
func Uploaded(m *v1alpha1.ArtifactManifest) *metav1.Condition {
	return apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionUploaded)
}

// Sealing reports whether it is not settled yet what was sealed: that is the first look after the sealing
// which finds what was recorded before it. The last look before may be minutes old, and the publisher may
// have pushed since; one look alone may be wrong. Where the status was lost, the annotation
// nfo.dev/sealed-digests has what was sealed.
//
// A generation that nobody has looked at counts as the sealing, since the schema lets no later one be: every field of the
// spec of a sealed manifest is refused a change. A StoreScoped manifest that is upgraded is not sealed any more.
func Sealing(m *v1alpha1.ArtifactManifest) bool {
	c, generation := Uploaded(m), m.Generation
	if !m.DeletionTimestamp.IsZero() {
		generation-- // the begin of the deletion
	}
	if !Sealed(m) || sealedDigests(m) != nil {
		return false
	}
	if c == nil { // never looked at, or the status was lost
		return !slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return a.Digest != "" })
	}
	return c.ObservedGeneration < generation
}

// sealedDigests are the digests that the annotation nfo.dev/sealed-digests records for the artifacts of a
// sealed manifest, in their order; nil when it has none that fit.
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

// Promised reports whether the digests recorded of the manifest are what was sealed.
func Promised(m *v1alpha1.ArtifactManifest) bool { return Sealed(m) && !Sealing(m) }

// LastSeen is an entry at the digest that its tag was last seen at.
func LastSeen(e v1alpha1.ArtifactStatus) v1alpha1.ArtifactStatus {
	if e.MovedTo != "" {
		e.Digest, e.MediaType, e.Size = e.MovedTo, "", 0
	}
	return e
}

// Moved are the artifacts whose tags are not at the digests that were sealed.
func Moved(artifacts []v1alpha1.ArtifactStatus) []string {
	var names []string
	for _, a := range artifacts {
		if a.State == v1alpha1.ArtifactMoved {
			names = append(names, fmt.Sprintf("%s:%s (sealed at %s%s, now at %s)", a.Repository, a.ArtifactVersion, a.Digest, lost(a), a.MovedTo))
		}
	}
	return names
}

// lost says that an entry's recorded digest could not be put back, for it is gone.
func lost(a v1alpha1.ArtifactStatus) string {
	if a.Reason == "" {
		return ""
	}
	return ", which is not in the registry any more: push it again"
}
