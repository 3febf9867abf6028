package plan

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
)

// holding says what the stored objects of the namespace hold in one location. Each value names
// the holder that comes first by name, so that a verdict's words do not depend on order.
type holding struct {
	listed   map[string]string       // repository:tag -> the manifest that lists it
	recorded map[string][]graph.Root // repository -> digests in the status of manifests and definitions
	named    map[string]string       // manifest -> the definition or design that keeps it
	artifact map[string]string       // artifact -> who names it by its store, the old form
	unseen   map[string][]string     // repository -> tags that a manifest lists of which no status says anything
	// doubt says why what holds a tombstone is unknown; "" when it is known.
	doubt string
}

// hold finds what holds. A reference to a store that may be ours counts (I2).
func hold(s reference.Snapshot, location v1alpha1.RegistryLocation, stores []v1alpha1.ArtifactStore) holding {
	h := holding{listed: map[string]string{}, recorded: map[string][]graph.Root{}, named: map[string]string{}, artifact: map[string]string{}, unseen: map[string][]string{}}
	elsewhere := map[string]bool{}
	for _, o := range stores {
		l, err := o.Location()
		elsewhere[o.Name] = err == nil && !l.Overlaps(location)
	}
	abroad := map[string]bool{} // manifests of other places
	for _, m := range s.Manifests() {
		if abroad[m.Name] = elsewhere[m.Spec.ArtifactStoreRef.Name]; !abroad[m.Name] {
			h.manifest(m, location)
		}
	}
	for _, kind := range []string{v1alpha1.KindDefinition, v1alpha1.KindDesign} {
		for _, o := range s[kind] {
			h.version(o, elsewhere)
			h.deployed(o, abroad)
		}
	}
	return h
}

// manifest notes what a manifest lists, Terminating ones included, and at which digests.
func (h holding) manifest(m *v1alpha1.ArtifactManifest, location v1alpha1.RegistryLocation) {
	id := v1alpha1.ResourceID(v1alpha1.KindArtifactManifest, m.Namespace, m.Name)
	because := map[string]string{} // by version: most artifacts of a manifest have the same
	for _, a := range m.Spec.Artifacts {
		repository := location.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName)
		first(h.listed, repository+":"+a.ArtifactVersion, id)
		if len(m.Status.Artifacts) == 0 { // nobody has looked yet, or its status was lost
			h.unseen[repository] = append(h.unseen[repository], a.ArtifactVersion)
		}
	}
	for _, a := range recordsOf(m, location) {
		first(h.listed, a.Repository+":"+a.ArtifactVersion, id)
		if a.Digest != "" {
			if because[a.ArtifactVersion] == "" {
				because[a.ArtifactVersion] = id + " has it at " + a.ArtifactVersion
			}
			root := graph.Root{Digest: digest.Digest(a.Digest), Reason: Held, Because: because[a.ArtifactVersion]}
			h.recorded[a.Repository] = append(h.recorded[a.Repository], root)
		}
	}
}

// recordsOf are what a manifest's status has of its artifacts and, where it has nothing of one, at which digest that was
// sealed.
func recordsOf(m *v1alpha1.ArtifactManifest, location v1alpha1.RegistryLocation) []v1alpha1.ArtifactStatus {
	all := m.Status.Artifacts
	if m.Annotations[v1alpha1.AnnotationSealedDigests] == "" {
		return all
	}
	type place struct{ repository, version string }
	recorded := make(map[place]bool, len(all))
	for _, a := range all {
		recorded[place{a.Repository, a.ArtifactVersion}] = a.Digest != ""
	}
	all = slices.Clip(all)
	for _, e := range inventory.Entries(m, location) {
		if !recorded[place{e.Repository, e.ArtifactVersion}] {
			all = append(all, e)
		}
	}
	return all
}

// version notes which manifests, and which artifacts by the old form, a definition or design keeps.
func (h holding) version(o client.Object, elsewhere map[string]bool) {
	id := reference.Self(o).String()
	for _, r := range reference.Kept(o) {
		switch {
		case r.To.Kind == v1alpha1.KindArtifactManifest:
			first(h.named, r.To.Name, id)
		case r.To.Kind == v1alpha1.KindArtifactStore && !elsewhere[r.To.Name]:
			first(h.artifact, r.Artifact, id)
		}
	}
}

// deployed notes the digests that a definition's applications came to (I1): a tag that was overwritten
// since does not free them.
func (h holding) deployed(o client.Object, abroad map[string]bool) {
	d, ok := o.(*v1alpha1.NetworkFunctionDefinitionVersion)
	if !ok {
		return
	}
	for _, p := range reference.Pins(d) {
		if !abroad[p.Manifest] {
			because := fmt.Sprintf("%s deploys it as %s", reference.Self(d), p.Application)
			h.recorded[p.Repository] = append(h.recorded[p.Repository], graph.Root{Digest: digest.Digest(p.Digest), Reason: Held, Because: because})
		}
	}
}

// by returns what holds an entry (I13), "" for nothing. The manifest itself does not hold what
// its tag has moved on from: it could never be restored over the tag.
func (h holding) by(e Entry) string {
	t := e.Tombstone
	if id := h.named[t.Spec.Manifest.Name]; id != "" {
		return fmt.Sprintf("%s keeps %s", id, v1alpha1.ResourceID(v1alpha1.KindArtifactManifest, t.Namespace, t.Spec.Manifest.Name))
	}
	if id := h.artifact[lastSegment(e.Repository)]; id != "" {
		return fmt.Sprintf("%s names artifact %s by its store", id, lastSegment(e.Repository))
	}
	if h.lists(e) {
		return fmt.Sprintf("%s lists %s", h.listed[e.Repository+":"+e.Tag], e.Tag)
	}
	return h.doubt
}

// lists reports whether a manifest lists an entry's tag, so that applying it could have restored it.
func (h holding) lists(e Entry) bool {
	return h.listed[e.Repository+":"+e.Tag] != "" && !e.movedOn()
}

// first keeps the first of several values by order.
func first(m map[string]string, key, value string) {
	if have, ok := m[key]; !ok || value < have {
		m[key] = value
	}
}
