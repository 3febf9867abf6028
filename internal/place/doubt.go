package place

import (
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Beside returns the other stores whose manifests can list the same tags as those of s: stores whose
// places overlap with that of s, and stores that may be in the same place under another name. It leaves
// out stores that the list does not admit, so that a store cannot protect artifacts in a place of others.
func (r Rules) Beside(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) []*v1alpha1.ArtifactStore {
	at, err := s.Location()
	if err != nil {
		return nil
	}
	var others []*v1alpha1.ArtifactStore
	for i := range all {
		o := &all[i]
		there, err := o.Location()
		if err == nil && !same(s, o) && at.Overlaps(there) && r.Admits(o) {
			others = append(others, o)
		}
	}
	return append(others, r.Doubts(s, all)...)
}

// Doubts returns the other stores that may overlap with the place of s under another name
// of its host: their hosts resolved to an address and port that the host of s resolved to
// as well. That proves nothing, because one address can serve many registries.
//
// A store in a place that the list names has no doubts: the list says whose place it is, and no tenant can raise doubts
// about it by giving its address another name. The other store keeps its doubts unless the list names its place too. A store
// in the cluster's own registry has no doubts either, because that registry denies others access to the store's artifacts.
func (r Rules) Doubts(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) []*v1alpha1.ArtifactStore {
	at, err := s.Location()
	if err != nil || len(s.Status.Addresses) == 0 || r.governing(at) != nil || at.InClusterRegistry() {
		return nil
	}
	var others []*v1alpha1.ArtifactStore
	for i := range all {
		o := &all[i]
		if !same(s, o) && MayShare(s, o) && r.Admits(o) {
			others = append(others, o)
		}
	}
	return others
}

// MayShare reports whether the registries of two stores have different
// names and a common address, and the paths of the stores overlap.
func MayShare(a, b *v1alpha1.ArtifactStore) bool {
	if SharedAddress(a, b) == "" {
		return false
	}
	here, err := a.Location()
	if err != nil {
		return false
	}
	there, err := b.Location()
	return err == nil && !here.SameRegistry(there) && here.OverlapsPath(there)
}

func same(a, b *v1alpha1.ArtifactStore) bool { return a.Namespace == b.Namespace && a.Name == b.Name }

// SharedAddress returns an address and port at which both stores' registries answered, or "" if there is none.
func SharedAddress(a, b *v1alpha1.ArtifactStore) string {
	for _, address := range a.Status.Addresses {
		if slices.Contains(b.Status.Addresses, address) {
			return address
		}
	}
	return ""
}
