package reference

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Listed has, by repository:tag, the manifest that lists the tag, or whose
// entry with that tag left the list and has not been released yet.
type Listed map[string]Object

// Add adds the tags that the manifests of a store list or have not released yet. If the store's URL is invalid, nothing is listed.
func (l Listed) Add(s *v1alpha1.ArtifactStore, manifests []v1alpha1.ArtifactManifest) {
	at, err := s.Location()
	if err != nil {
		return
	}
	for i := range manifests {
		m := &manifests[i]
		if m.Namespace != s.Namespace || m.Spec.ArtifactStoreRef.Name != s.Name {
			continue
		}
		for _, a := range m.Spec.Artifacts {
			l[at.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName)+":"+a.ArtifactVersion] = Self(m)
		}
		for _, a := range m.Unreleased() {
			l[a.Repository+":"+a.ArtifactVersion] = Self(m)
		}
	}
}

// AddBeside adds the tags that the manifests of other stores list which are, or may be, in the place
// of one store; see place.Rules.Beside. manifests is called once for each namespace with such stores.
func (l Listed) AddBeside(others []*v1alpha1.ArtifactStore, manifests func(namespace string) ([]v1alpha1.ArtifactManifest, error)) error {
	read := map[string][]v1alpha1.ArtifactManifest{}
	for _, o := range others {
		found, known := read[o.Namespace]
		if !known {
			var err error
			if found, err = manifests(o.Namespace); err != nil {
				return err
			}
			read[o.Namespace] = found
		}
		l.Add(o, found)
	}
	return nil
}
