package publish

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// identity is a name and version that a source gives for itself.
type identity struct{ name, version string }

// labelled is a source, and what it is matched with entries by.
type labelled struct {
	// written is the source as messages show it.
	written string
	// entry is NAME:VERSION if the command line gives it. Then nothing else is compared.
	entry string
	// identities are tried in order.
	identities []identity
	// version, unless it is "", selects the only entry of that version if no identity fits an entry.
	version string
}

// maxNamed is how many entries of a manifest, or images of a layout, an error lists.
const maxNamed = 20

// match returns, for each source, the index of its entry. Its error has all mismatches, and lists the manifest's entries.
func match(entries []v1alpha1.ManifestArtifact, sources []labelled) ([]int, error) {
	matched := make([]int, len(sources))
	taken := map[int]string{}
	var errs []error
	for i, s := range sources {
		fit := s.fitting(entries)
		switch {
		case len(fit) == 0:
			errs = append(errs, fmt.Errorf("%s fits no entry", s.described()))
			continue
		case len(fit) > 1:
			errs = append(errs, fmt.Errorf("%s fits several entries: %s; say which with NAME:VERSION=SOURCE", s.described(), listed(entries, fit)))
			continue
		}
		if first, ok := taken[fit[0]]; ok {
			errs = append(errs, fmt.Errorf("%s and %s are both for %s", first, s.described(), entryName(entries[fit[0]])))
		}
		taken[fit[0]], matched[i] = s.described(), fit[0]
	}
	if len(errs) == 0 {
		return matched, nil
	}
	every := make([]int, len(entries))
	for i := range every {
		every[i] = i
	}
	known := "the manifest lists nothing"
	if len(entries) > 0 {
		known = "the manifest lists " + listed(entries, every)
	}
	return nil, errors.Join(append(errs, errors.New(known+"; NAME:VERSION=SOURCE says which one a source is for. Nothing was pushed"))...)
}

func (s labelled) fitting(entries []v1alpha1.ManifestArtifact) []int {
	find := func(fits func(v1alpha1.ManifestArtifact) bool) (found []int) {
		for i, a := range entries {
			if fits(a) {
				found = append(found, i)
			}
		}
		return found
	}
	if s.entry != "" {
		return find(func(a v1alpha1.ManifestArtifact) bool { return entryName(a) == s.entry })
	}
	for _, is := range s.identities {
		// The name of an artifact at the store's own path can have several segments.
		if found := find(func(a v1alpha1.ManifestArtifact) bool {
			return path.Base(a.ArtifactName) == is.name && a.ArtifactVersion == is.version
		}); len(found) > 0 {
			return found
		}
	}
	if s.version == "" {
		return nil
	}
	return find(func(a v1alpha1.ManifestArtifact) bool { return a.ArtifactVersion == s.version })
}

// described returns the source as written, with the names that it gives for itself.
func (s labelled) described() string {
	var names []string
	for _, is := range s.identities {
		if name := is.name + ":" + is.version; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case s.entry != "":
		return s.written
	case len(names) == 0:
		return s.written + " (which says no name)"
	}
	return fmt.Sprintf("%s (%s)", s.written, strings.Join(names, " or "))
}

func entryName(a v1alpha1.ManifestArtifact) string { return a.ArtifactName + ":" + a.ArtifactVersion }

func listed(entries []v1alpha1.ManifestArtifact, which []int) string {
	var names []string
	for _, i := range which {
		names = append(names, entryName(entries[i]))
	}
	return v1alpha1.FirstOf(names, maxNamed)
}
