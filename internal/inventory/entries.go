package inventory

import "github.com/nfo-operator/nfo/api/v1alpha1"

// Entry identifies an artifact of a manifest.
type Entry struct{ Name, Version string }

// KeyOf is which entry an artifact is.
func KeyOf(e v1alpha1.ArtifactStatus) Entry { return Entry{e.ArtifactName, e.ArtifactVersion} }

// Entries lists a manifest's entries with what was recorded of each: those of the spec, and
// after them those that left it and have not been released.
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
			e.Digest = seal[i] // of which the status may know nothing any more
		}
		if was, ok := recorded[KeyOf(e)]; ok && was.Repository == e.Repository {
			e = was
		}
		all = append(all, e)
		delete(recorded, KeyOf(e))
	}
	for _, a := range m.Status.Artifacts {
		if was, left := recorded[KeyOf(a)]; left {
			all = append(all, was)
		}
	}
	return all
}

// Missing are the artifacts whose tags are not there, and where they were.
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
