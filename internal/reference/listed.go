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

// AddBeside adds the tags that the manifests of the other stores in the place of s list. manifests is asked once
// for each namespace that has such stores, however many it has.
func (l Listed) AddBeside(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore, manifests func(namespace string) ([]v1alpha1.ArtifactManifest, error)) error {
	read := map[string][]v1alpha1.ArtifactManifest{}
	for _, o := range beside(s, all) {
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

// beside returns the other stores of the cluster that lie in the place of s, wholly or in part. Their
// manifests can list the same tags as those of s.
func beside(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) (others []*v1alpha1.ArtifactStore) {
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
			others = append(others, o)
		}
	}
	return others
}
