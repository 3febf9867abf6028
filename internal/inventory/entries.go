package inventory

import "github.com/nfo-operator/nfo/api/v1alpha1"

// Entry identifies an artifact of a manifest.
type Entry struct{ Name, Version string }

// KeyOf returns the entry that an artifact's status belongs to.
func KeyOf(e v1alpha1.ArtifactStatus) Entry { return Entry{e.ArtifactName, e.ArtifactVersion} }

// Entries returns a manifest's entries with what was recorded of each: first the
// entries of the spec, then those that left the spec and have not been released.
func Entries(m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation) []v1alpha1.ArtifactStatus {
	recorded := map[Entry]v1alpha1.ArtifactStatus{}
	for _, a := range m.Status.Artifacts {
		recorded[KeyOf(a)] = a
	}
	var all []v1alpha1.ArtifactStatus
	seal := sealedDigests(m)
	for i, a := range m.Spec.Artifacts {
		e := v1alpha1.ArtifactStatus{
			ArtifactName: a.ArtifactName, ArtifactVersion: a.ArtifactVersion, State: v1alpha1.ArtifactMissing,
			Repository: l.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName),
		}
		if seal != nil {
			e.Digest = seal[i] // the status may have lost it
		}
		if was, ok := recorded[KeyOf(e)]; ok && was.Repository == e.Repository {
			e = was
		}
		all = append(all, e)
	}
	return append(all, m.Unreleased()...)
}

// Missing returns the artifacts whose tags are missing, as repository:tag, with the digests at which they were last seen.
func Missing(artifacts []v1alpha1.ArtifactStatus) []string {
	var names []string
	for _, a := range artifacts {
		if a.State == v1alpha1.ArtifactPresent || a.State == v1alpha1.ArtifactMoved {
			continue
		}
		name := a.Repository + ":" + a.ArtifactVersion
		if a.Digest != "" {
			name += " (last seen at " + a.Digest + lost(a) + ")"
		}
		names = append(names, name)
	}
	return names
}
