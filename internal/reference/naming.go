package reference

import (
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Naming has the objects of a snapshot by the key of what they hold, for callers that need the holders of many subjects.
type Naming map[string][]client.Object

// Naming groups the objects of a snapshot by what they hold.
func (s Snapshot) Naming() Naming {
	n := Naming{}
	for _, items := range s {
		for _, o := range items {
			for _, key := range Keys(o) {
				n[key] = append(n[key], o)
			}
		}
	}
	return n
}

// Holders returns the holders of a subject, sorted. A reference to a store can hold the store's manifests.
func (n Naming) Holders(subject client.Object) []Holder {
	candidates := n[Key(Self(subject))]
	if m, ok := subject.(*v1alpha1.ArtifactManifest); ok {
		candidates = slices.Concat(candidates, n[Key(Object{v1alpha1.KindArtifactStore, m.Namespace, m.Spec.ArtifactStoreRef.Name})])
	}
	some, seen := Snapshot{}, map[Object]bool{}
	for _, o := range candidates {
		if self := Self(o); !seen[self] {
			seen[self] = true
			some[self.Kind] = append(some[self.Kind], o)
		}
	}
	return some.Holders(subject)
}
