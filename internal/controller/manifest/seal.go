package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// seal returns the value for a manifest's annotation nfo.dev/sealed-digests: the sealed digests,
// so that they outlive the status. It is "" for a manifest that is not sealed, or not yet.
func seal(m *v1alpha1.ArtifactManifest) string {
	if !inventory.Promised(m) || len(m.Spec.Artifacts) == 0 {
		return ""
	}
	recorded := map[inventory.Entry]string{}
	for _, a := range m.Status.Artifacts {
		recorded[inventory.KeyOf(a)] = a.Digest
	}
	var digests []string
	for _, a := range m.Spec.Artifacts {
		d := recorded[inventory.Entry{Name: a.ArtifactName, Version: a.ArtifactVersion}]
		if d == "" {
			return m.Annotations[v1alpha1.AnnotationSealedDigests]
		}
		digests = append(digests, d)
	}
	return strings.Join(digests, ",")
}

// mayRestore reports whether an entry's tag may be restored from a tombstone. The
// restore must not put the tag at another digest than the one recorded in the manifest.
func mayRestore(t *v1alpha1.Tombstone, e v1alpha1.ArtifactStatus) bool {
	return e.Digest == "" || tombstone.Restores(t, e.Repository, e.ArtifactVersion, e.Digest)
}

// shortfall explains which artifacts are missing or overwritten, and what to do.
func (seen manifestSeen) shortfall(listed []v1alpha1.ArtifactStatus) (reason, message string) {
	reason = v1alpha1.ReasonMissing
	var says []string
	all := len(seen.manifest.Spec.Artifacts)
	if over := inventory.Moved(listed); len(over) > 0 {
		reason = v1alpha1.ReasonTampered
		says = append(says, fmt.Sprintf("%d of %d tags of this sealed manifest were overwritten: %s.", len(over), all, v1alpha1.FirstOf(over, reference.NamedHolders)))
	}
	if gone := inventory.Missing(listed); len(gone) > 0 {
		says = append(says, fmt.Sprintf("%d of %d artifacts are not in the registry: %s. Push them to these paths.", len(gone), all, v1alpha1.FirstOf(gone, reference.NamedHolders)))
	}
	if inventory.Sealed(seen.manifest) {
		says = append(says, seen.remedy(listed)...)
	}
	return reason, strings.Join(says, " ")
}

// remedy explains how to restore what was sealed.
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
		says = append(says, fmt.Sprintf("To restore what was sealed: kubectl annotate am %s %s=%s.", seen.manifest.Name, v1alpha1.AnnotationRestoreDigest, digests[0]))
	default:
		says = append(says, fmt.Sprintf("To restore what was sealed, for each: kubectl annotate am %s %s=<sealed digest>.", seen.manifest.Name, v1alpha1.AnnotationRestoreDigest))
	}
	if len(inventory.Moved(listed)) > 0 {
		says = append(says, "For other contents make a new manifest for a new version.")
	}
	return says
}

// recoverable returns the entries that can be restored to their recorded digests.
func recoverable(listed []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(listed), func(a v1alpha1.ArtifactStatus) bool {
		return a.Digest == "" || a.State == v1alpha1.ArtifactPresent
	})
}
