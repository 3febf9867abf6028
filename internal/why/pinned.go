package why

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// pinned returns the definitions that deploy one of the digests of a repository, according to their status,
// at the place of a registry URL. A purge keeps these digests even if no manifest lists them any more.
func (e *evidence) pinned(url, repository string, digests ...string) []reference.Holder {
	here, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		return nil
	}
	var all []reference.Holder
	for _, o := range e.objects {
		d, ok := o.(*v1alpha1.NetworkFunctionDefinitionVersion)
		if !ok {
			continue
		}
		h := reference.Holder{Object: reference.Self(d), Terminating: d.DeletionTimestamp != nil}
		for _, p := range reference.Pins(d) {
			by := reference.Reference{Application: p.Application}
			if p.Repository == repository && slices.Contains(digests, p.Digest) && !e.abroad(p.Manifest, here) && !slices.Contains(h.References, by) {
				h.References = append(h.References, by)
			}
		}
		if len(h.References) > 0 {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b reference.Holder) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// abroad reports whether a manifest is known to be at another place. An unknown manifest counts as being here.
func (e *evidence) abroad(manifest string, here v1alpha1.RegistryLocation) bool {
	m, ok := e.objects[reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: e.namespace, Name: manifest}].(*v1alpha1.ArtifactManifest)
	if !ok {
		return false
	}
	s := e.store(m.Spec.ArtifactStoreRef.Name)
	if s == nil {
		return false
	}
	l, err := s.Location()
	return err == nil && !l.Overlaps(here)
}

// deploysAs says as which applications a definition deploys an image.
func deploysAs(h reference.Holder) string {
	var names []string
	for _, r := range h.References {
		names = append(names, r.Application)
	}
	return fmt.Sprintf("deploys it as %s", v1alpha1.FirstOf(names, reference.NamedHolders))
}
