package reference

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Listed says which manifest lists a tag. Its keys are repository:tag.
type Listed map[string]Object

// Add adds the tags that the manifests of a store list. A URL that cannot be parsed leads nowhere, so that
// nothing is listed there.
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
	}
}

// AddBeside adds the tags that the manifests of other stores list, which are in the place of one store or may be;
// see place.Rules.Beside. manifests is asked once for each namespace that has such stores, however many it has.
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
