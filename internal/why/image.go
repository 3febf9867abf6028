package why

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/reference"
)

// image is the image that the user asks about.
type image struct{ plugin.ImageReference }

// parseImage parses an image reference. A signature, or another satellite, stands for its subject.
func parseImage(s string) (image, error) {
	i, err := plugin.ParseImage(s)
	hub := v1alpha1.RegistryLocation{Host: "docker.io"}
	if hub.SameRegistry(v1alpha1.RegistryLocation{Host: i.Host}) && !strings.Contains(i.Repository, "/") {
		i.Repository = "library/" + i.Repository
	}
	if subject, ok := graph.SatelliteOf(i.Tag); err == nil && ok && i.Digest == "" {
		i.Digest = subject // the satellite is kept and deleted with its subject
	}
	return image{i}, err
}

// in returns the store that an image is in, or nil if there is none. Of several, it takes the longest URL.
func (i image) in(stores []v1alpha1.ArtifactStore) *v1alpha1.ArtifactStore {
	stores = slices.DeleteFunc(slices.Clone(stores), func(s v1alpha1.ArtifactStore) bool { return s.Refused() })
	var best *v1alpha1.ArtifactStore
	for n := range stores {
		s := &stores[n]
		l, err := s.Location()
		if err != nil || !i.at(l) || s.Winner(stores) != nil {
			continue
		}
		if best == nil || cmp.Compare(len(s.RegistryURL()), len(best.RegistryURL())) > 0 {
			best = s
		}
	}
	return best
}

// alias returns the store that an image is in under another name that nodes use to pull it, and the image
// by its name in that store. Of several, it takes the longest path. The store is nil if there is none.
func (i image) alias(stores []v1alpha1.ArtifactStore) (image, *v1alpha1.ArtifactStore) {
	named, longest := i, -1
	var best *v1alpha1.ArtifactStore
	for n := range stores {
		s := &stores[n]
		names, err := s.Names()
		if err != nil || s.Refused() || s.Winner(stores) != nil {
			continue
		}
		here := names[0]
		for _, l := range otherNames(s, names) {
			if i.at(l) && len(l.Prefix) > longest {
				rest := strings.TrimPrefix(strings.TrimPrefix(i.Repository, l.Prefix), "/")
				best, longest, named.Host, named.Repository = s, len(l.Prefix), here.Host, strings.TrimPrefix(here.Prefix+"/"+rest, "/")
			}
		}
	}
	return named, best
}

// otherNames returns a store's names except the first, and its aliases.
func otherNames(s *v1alpha1.ArtifactStore, names []v1alpha1.RegistryLocation) []v1alpha1.RegistryLocation {
	if s.Spec.Workloads == nil {
		return names[1:]
	}
	at, err := s.Spec.Workloads.Locations(names...)
	if err != nil {
		return names[1:]
	}
	return at[1:]
}

// at reports whether an image is in a location, under any known name of the registry.
func (i image) at(l v1alpha1.RegistryLocation) bool {
	return i.Repository != l.Prefix && l.Contains(v1alpha1.RegistryLocation{Host: i.Host, Prefix: i.Repository})
}

// names reports whether an image reference means a tag that was seen at the given digests.
func (i image) names(tag string, digests ...string) bool {
	if i.Digest == "" {
		return tag == i.Tag || slices.ContainsFunc(digests, func(d string) bool { return graph.UndoTag(digest.Digest(d)) == i.Tag })
	}
	return slices.Contains(digests, i.Digest.String())
}

// meant returns the one of a released tag's digests that an image reference means.
func (i image) meant(digests []string) string {
	for _, d := range digests {
		if d == i.Digest.String() || i.Digest == "" && graph.UndoTag(digest.Digest(d)) == i.Tag {
			return d
		}
	}
	return restored(digests)
}

// found is a manifest that lists an image, and how.
type found struct {
	manifest *v1alpha1.ArtifactManifest
	says     string
}

// listed returns the manifests of the store at a URL that list an image or have recorded its digest.
func (e *evidence) listed(i image, url string) []found {
	at, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		return nil
	}
	var all []found
	for _, o := range e.objects {
		m, ok := o.(*v1alpha1.ArtifactManifest)
		if !ok {
			continue
		}
		if s := e.store(m.Spec.ArtifactStoreRef.Name); s != nil {
			if l, err := s.Location(); err != nil || !l.Same(at) {
				continue
			}
		}
		if says := i.listedBy(m, at); says != "" {
			all = append(all, found{m, says})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.manifest.Name, b.manifest.Name) })
	return all
}

// listedBy says how a manifest lists an image, or returns "" if it does not.
func (i image) listedBy(m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation) string {
	for _, a := range m.Status.Artifacts {
		digests, says := []string{a.Digest}, string(a.State)+" "+a.Digest
		if a.State == v1alpha1.ArtifactMoved { // the tag also keeps the digest that it is at now
			digests, says = append(digests, a.MovedTo), "sealed at "+a.Digest+", Moved to "+a.MovedTo
		}
		if a.Repository == i.Repository && i.names(a.ArtifactVersion, digests...) {
			return strings.TrimSpace(fmt.Sprintf("lists %s:%s, %s", a.ArtifactName, a.ArtifactVersion, says))
		}
	}
	for _, a := range m.Spec.Artifacts {
		if l.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName) == i.Repository && i.names(a.ArtifactVersion) {
			return fmt.Sprintf("lists %s:%s", a.ArtifactName, a.ArtifactVersion)
		}
	}
	return ""
}

// elsewhere is the answer for an image that is in no store.
func (i image) elsewhere(unseen string) *answer {
	a := &answer{Subject: i.Written, Verdict: "No ArtifactStore has it in its path: nothing here keeps it, and nothing here deletes it."}
	if unseen != "" {
		a.Verdict, a.Incomplete = "No ArtifactStore that could be looked at has it in its path.", []string{unseen}
	}
	return a
}

// aboutImage returns what keeps an image of a store.
func (e *evidence) aboutImage(i image, store *v1alpha1.ArtifactStore) *answer {
	a := &answer{Subject: i.Written, Incomplete: e.unseen}
	here, err := store.Location()
	a.Released = e.releases(func(t *v1alpha1.Tombstone, r v1alpha1.TombstoneArtifact) bool {
		there, thereErr := v1alpha1.ParseRegistryURL(t.Spec.RegistryURL)
		return err == nil && thereErr == nil && here.Same(there) && r.Repository == i.Repository && i.names(r.Tag, r.Digests...)
	}, i.meant)
	var verdicts []string
	for _, f := range e.listed(i, store.RegistryURL()) {
		self := reference.Self(f.manifest).String()
		chain := e.chain(f.manifest)
		a.KeptBy = append(a.KeptBy, &link{Object: self, Because: f.says, Terminating: f.manifest.DeletionTimestamp != nil, KeptBy: chain})
		about := &answer{KeptBy: chain, Roots: roots(chain), Kept: len(chain) > 0}
		verdicts = append(verdicts, self+": "+e.verdict(f.manifest, about))
	}
	for _, h := range e.pinned(store.RegistryURL(), i.Repository, i.Digest.String()) {
		l := e.follow(h)
		l.Because = deploysAs(h)
		a.KeptBy = append(a.KeptBy, l)
	}
	deployed := len(a.KeptBy) > len(verdicts)
	a.KeptBy = append(a.KeptBy, e.users(i, store)...)
	a.Kept, a.Roots = len(a.KeptBy) > 0, roots(a.KeptBy)
	if a.Verdict = "As long as a manifest lists it, no purge deletes it. " + strings.Join(verdicts, " "); len(verdicts) == 0 {
		a.Verdict = e.unlisted(a, store, deployed)
	}
	return a
}

// unlisted returns the verdict about an image that no manifest lists.
func (e *evidence) unlisted(a *answer, store *v1alpha1.ArtifactStore, deployed bool) string {
	by := v1alpha1.FirstOf(a.Roots, reference.NamedHolders)
	switch {
	case deployed:
		return fmt.Sprintf("No manifest lists it. As long as a definition deploys it, no purge deletes it. It is needed by: %s.", by)
	case a.Kept:
		return fmt.Sprintf("No manifest lists it. As long as workloads use it, no purge deletes it: it is used by %s.", by)
	}
	verdict := "No manifest lists it; what was released of it is below."
	if len(a.Released) == 0 {
		verdict = fmt.Sprintf("No manifest lists it and no tombstone has it: nothing here deletes it. It is in the path of %s.", reference.Self(store))
	}
	if e.running[store.Name].Missing != "" {
		verdict += " But it may be in use: not all that workloads run could be read."
	}
	return verdict
}
