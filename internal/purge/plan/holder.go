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

// holding is what the stored objects of the namespace hold in one location. Each value is the
// holder that comes first by name, so that the words of a verdict do not depend on order.
type holding struct {
	listed   map[string]string       // repository:tag -> the manifest that lists it
	recorded map[string][]graph.Root // repository -> digests in the status of manifests and definitions
	named    map[string]string       // manifest -> the definition or design that holds it
	artifact map[string]string       // artifact -> the definition or design that references it by its store, the old form
	unseen   map[string][]string     // repository -> tags listed by manifests whose status has no artifacts
	// doubt says why it is unknown what holds the entries of a tombstone; "" if it is known.
	doubt string
}

// hold collects what the objects hold. A reference to a store that may have this location counts (I2).
func hold(s reference.Snapshot, location v1alpha1.RegistryLocation, stores []v1alpha1.ArtifactStore) holding {
	h := holding{listed: map[string]string{}, recorded: map[string][]graph.Root{}, named: map[string]string{}, artifact: map[string]string{}, unseen: map[string][]string{}}
	elsewhere := map[string]bool{}
	for _, o := range stores {
		l, err := o.Location()
		elsewhere[o.Name] = err == nil && !l.Overlaps(location)
	}
	abroad := map[string]bool{} // manifests of stores with other locations
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

// manifest adds the tags that a manifest lists, even if it is being deleted, and their digests.
func (h holding) manifest(m *v1alpha1.ArtifactManifest, location v1alpha1.RegistryLocation) {
	id := v1alpha1.ResourceID(v1alpha1.KindArtifactManifest, m.Namespace, m.Name)
	because := map[string]string{} // by version, because most artifacts of a manifest have the same
	for _, a := range m.Spec.Artifacts {
		repository := location.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName)
		first(h.listed, repository+":"+a.ArtifactVersion, id)
		if len(m.Status.Artifacts) == 0 { // the manager has not checked it yet, or its status was lost
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

// recordsOf returns the artifacts in a manifest's status and, for each artifact
// of which the status has no digest, the digest at which it was sealed.
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

// version adds the manifests that a definition or design holds, and the artifacts that it references in the old form.
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

// deployed adds the digests that the applications of a definition
// were resolved to (I1). They stay held if their tag is overwritten.
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

// by returns what holds an entry (I13); "" for nothing. A manifest does not hold the entry if
// its tag has been set to another digest since, because a restore would not overwrite that tag.
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

// lists reports whether a manifest lists an entry's tag, so that applying the manifest could have restored it.
func (h holding) lists(e Entry) bool {
	return h.listed[e.Repository+":"+e.Tag] != "" && !e.movedOn()
}

// first stores a value under a key unless the key has a value that comes earlier in order.
func first(m map[string]string, key, value string) {
	if have, ok := m[key]; !ok || value < have {
		m[key] = value
	}
}
