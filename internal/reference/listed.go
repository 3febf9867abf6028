package reference

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Listed says which manifest lists a tag. Its keys are repository:tag.
type Listed map[string]Object

// Add adds the tags that the manifests of a store list. A URL that cannot be parsed leads nowhere, so that
// nothing is listed there.
func (l Listed) Add(s *v1alpha1.ArtifactStore, manifests []v1alpha1.ArtifactManifest) {
	at, err := v1alpha1.ParseRegistryURL(s.Spec.Registry.URL)
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

// Beside returns the other stores of the cluster that lie in the place of s, wholly or in part. Their
// manifests can list the same tags as those of s.
func Beside(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) (beside []*v1alpha1.ArtifactStore) {
	at, err := v1alpha1.ParseRegistryURL(s.Spec.Registry.URL)
	if err != nil {
		return nil
	}
	for i := range all {
		o := &all[i]
		if o.Namespace == s.Namespace && o.Name == s.Name {
			continue
		}
		if there, err := v1alpha1.ParseRegistryURL(o.Spec.Registry.URL); err == nil && at.Overlaps(there) {
			beside = append(beside, o)
		}
	}
	return beside
}
