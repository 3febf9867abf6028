package controller

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// sealed reports whether a manifest promises digests: it is sealed, and its artifacts are its own.
func sealed(m *v1alpha1.ArtifactManifest) bool {
	return m.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded && m.Spec.UploadPath != v1alpha1.StoreScoped
}

func uploaded(m *v1alpha1.ArtifactManifest) *metav1.Condition {
	return apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionUploaded)
}

// sealing reports whether it is not settled yet what was sealed: that is the first look after the sealing
// which finds what was recorded before it. The last look before may be minutes old, and the publisher may
// have pushed since; one look alone may be wrong. Where the status was lost, the annotation
// nfo.dev/sealed-digests has what was sealed.
func sealing(m *v1alpha1.ArtifactManifest) bool {
	c, generation := uploaded(m), m.Generation
	if !m.DeletionTimestamp.IsZero() {
		generation-- // the begin of the deletion
	}
	if !sealed(m) || sealedDigests(m) != nil {
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
	if !sealed(m) || len(m.Spec.Artifacts) == 0 {
		return nil
	}
	digests := strings.Split(m.Annotations[v1alpha1.AnnotationSealedDigests], ",")
	if len(digests) != len(m.Spec.Artifacts) || slices.ContainsFunc(digests, func(d string) bool { return digest.Digest(d).Validate() != nil }) {
		return nil
	}
	return digests
}

// seal is what the annotation nfo.dev/sealed-digests of a manifest is to be: the digests that were sealed,
// so that they outlive the status. "" for a manifest that has promised none.
func seal(m *v1alpha1.ArtifactManifest) string {
	if !promised(m) || len(m.Spec.Artifacts) == 0 {
		return ""
	}
	recorded := map[entry]string{}
	for _, a := range m.Status.Artifacts {
		recorded[keyOf(a)] = a.Digest
	}
	var digests []string
	for _, a := range m.Spec.Artifacts {
		d := recorded[entry{a.ArtifactName, a.ArtifactVersion}]
		if d == "" {
			return m.Annotations[v1alpha1.AnnotationSealedDigests]
		}
		digests = append(digests, d)
	}
	return strings.Join(digests, ",")
}

// promised reports whether the digests recorded of the manifest are what was sealed.
func promised(m *v1alpha1.ArtifactManifest) bool { return sealed(m) && !sealing(m) }

// lastSeen is an entry at the digest that its tag was last seen at.
func lastSeen(e v1alpha1.ArtifactStatus) v1alpha1.ArtifactStatus {
	if e.MovedTo != "" {
		e.Digest, e.MediaType, e.Size = e.MovedTo, "", 0
	}
	return e
}

// mayGive reports whether a tombstone may give an entry its tag back: that must not put a sealed tag
// at another digest.
func (seen manifestSeen) mayGive(t *v1alpha1.Tombstone, e v1alpha1.ArtifactStatus) bool {
	if e.Digest == "" || !promised(seen.manifest) {
		return true
	}
	return slices.ContainsFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool {
		return a.Repository == e.Repository && a.Tag == e.ArtifactVersion && restoredDigest(a) == e.Digest
	})
}

// moved are the artifacts whose tags are not at the digests that were sealed.
func moved(artifacts []v1alpha1.ArtifactStatus) []string {
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
	return ", which is no longer in the registry: push it again"
}

// shortfall says which of the listed artifacts are not there, or not what was sealed, and what to do.
func (seen manifestSeen) shortfall(listed []v1alpha1.ArtifactStatus) (reason, message string) {
	reason = v1alpha1.ReasonMissing
	var says []string
	if over := moved(listed); len(over) > 0 {
		reason = v1alpha1.ReasonTampered
		says = append(says, fmt.Sprintf("%d of %d tags of this sealed manifest were pushed over: %s.", len(over), len(listed), v1alpha1.FirstOf(over, reference.NamedHolders)))
	}
	if gone := missing(listed); len(gone) > 0 {
		says = append(says, fmt.Sprintf("%d of %d artifacts are not in the registry: %s. Push them to these paths.", len(gone), len(listed), v1alpha1.FirstOf(gone, reference.NamedHolders)))
	}
	if sealed(seen.manifest) {
		says = append(says, seen.remedy(listed)...)
	}
	return reason, strings.Join(says, " ")
}

// remedy says how what was sealed comes back.
func (seen manifestSeen) remedy(listed []v1alpha1.ArtifactStatus) []string {
	var says, digests []string
	for _, a := range recoverable(listed) {
		if a.Reason == "" {
			digests = append(digests, a.Digest)
		}
	}
	slices.Sort(digests)
	switch digests = slices.Compact(digests); len(digests) {
	case 0:
	case 1:
		says = append(says, fmt.Sprintf("To put back what was sealed: kubectl annotate am %s %s=%s.", seen.manifest.Name, v1alpha1.AnnotationRestoreDigest, digests[0]))
	default:
		says = append(says, fmt.Sprintf("To put back what was sealed, for each: kubectl annotate am %s %s=<sealed digest>.", seen.manifest.Name, v1alpha1.AnnotationRestoreDigest))
	}
	if len(moved(listed)) > 0 {
		says = append(says, "For other contents make a new manifest for a new version.")
	}
	return says
}

// recoverable are the entries that can be put back at the digests recorded of them.
func recoverable(listed []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(listed), func(a v1alpha1.ArtifactStatus) bool {
		return a.Digest == "" || a.State == v1alpha1.ArtifactPresent
	})
}
