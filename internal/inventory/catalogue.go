package inventory

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Catalogue has the artifacts that the manifests of a store list, by the last segment of the artifact's name.
type Catalogue map[string][]Listing

// Listing is an artifact that a manifest lists.
type Listing struct{ Manifest, Artifact, Repository, Version, Digest string }

// Find returns the listing of an image in another manifest than self. It prefers the manifest that was found before, so
// that the held manifest does not change, then a repository that the image's path names, then the first manifest by name.
func (c Catalogue) Find(w Image, self, before string) *Listing {
	var best *Listing
	rank := func(l *Listing) int {
		switch {
		case l.Manifest == before:
			return 0
		case slices.Contains(w.Places, l.Repository):
			return 1
		}
		return 2
	}
	all := c[LastSegment(w.Name)]
	for i := range all {
		l := &all[i]
		named := w
		if l.Artifact == w.Name {
			named.Places = append(slices.Clip(w.Places), l.Repository)
		}
		if l.Manifest == self || !named.Is(l.Repository, l.Version, l.Digest) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(rank(l), rank(best)), cmp.Compare(l.Manifest, best.Manifest)) < 0 {
			best = l
		}
	}
	return best
}

// LastSegment returns the part of a name after its last slash.
func LastSegment(name string) string { return name[strings.LastIndex(name, "/")+1:] }

// Add adds the artifacts that a manifest lists.
func (c Catalogue) Add(m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation) {
	for _, a := range Entries(m, l) {
		name := LastSegment(a.ArtifactName)
		c[name] = append(c[name], Listing{m.Name, a.ArtifactName, a.Repository, a.ArtifactVersion, a.Digest})
	}
}
