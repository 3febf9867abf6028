package aosm

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// unused reports options for stores that are not in the input.
func (im *importer) unused() {
	tell := func(flag, name string) {
		im.Add(finding.Finding{Level: finding.NotMapped, Path: flag, Reason: fmt.Sprintf("no store of the input that can be mapped is called %q", arm.Clip(name))})
	}
	for _, name := range slices.Sorted(maps.Keys(im.options.Registries)) {
		if !im.registries[arm.Fold(name)] {
			tell("--registry", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(im.options.APIVersions)) {
		if !im.apis[name] {
			tell("--api-version", name)
		}
	}
}

var registryName = regexp.MustCompile(`^[a-zA-Z0-9]{5,50}$`)

func (im *importer) mapStore(r input.Resource) {
	p := r.Properties()
	if kind := im.text(p, "storeType"); kind != "" && arm.Fold(kind) != "azurecontainerregistry" {
		im.Unmapped(r.Value.Node, "a store of type %q is not an OCI registry", arm.Clip(kind))
		return
	}
	o := &v1alpha1.ArtifactStore{}
	url, given, ok := im.givenURL(r)
	switch {
	case !ok:
		return
	case !given:
		if url = im.derivedURL(r, p); url == "" {
			return
		}
		im.assumed[o] = true
	}
	if !im.apart(r, url) {
		return
	}
	o.Spec.Registry.URL = url
	im.putPublished(o, &o.ObjectMeta, v1alpha1.KindArtifactStore, r)
}

// storeName returns the name of a store on the command line where its own name is ambiguous.
func storeName(id arm.ID) string { return arm.Clip(id.Publisher() + "/" + id.Name()) }

// givenURL returns the URL that was given for a store. It returns ok false, and
// reports why, if the URL was given for a name that stores of several publishers have.
func (im *importer) givenURL(r input.Resource) (url string, given, ok bool) {
	short, whole := arm.Fold(r.ID.Name()), arm.Fold(r.ID.Publisher()+"/"+r.ID.Name())
	for name, url := range im.options.Registries {
		if arm.Fold(name) == whole {
			im.registries[whole] = true
			return url, true, true
		}
	}
	for name, url := range im.options.Registries {
		if arm.Fold(name) != short {
			continue
		}
		im.registries[short] = true
		if owners := im.ownersOf(short); len(owners) > 1 {
			im.Unmapped(r.Value.Node, "several publishers have a store %s (%s), but --registry gives one URL; give each store its own, such as --registry %s=%s", arm.Clip(r.ID.Name()), some("publisher", owners), storeName(r.ID), url)
			return "", false, false
		}
		return url, true, true
	}
	return "", false, true
}

// ownersOf returns the publishers that have a store of a name.
func (im *importer) ownersOf(store string) []string {
	if im.owners == nil {
		im.owners = map[string][]string{}
		for _, r := range im.found { // each once
			if r.ID.Type() == arm.TypeStore {
				name := arm.Fold(r.ID.Name())
				im.owners[name] = append(im.owners[name], arm.Fold(r.ID.Publisher()))
			}
		}
		for _, owners := range im.owners {
			slices.Sort(owners)
		}
	}
	return im.owners[store]
}

// derivedURL returns the URL of the registry behind the store in Azure; "" if the input does not say which one it is.
func (im *importer) derivedURL(r input.Resource, p template.Value) string {
	backing := p.Get("storageResourceId")
	const give = "give it with --registry %s=https://HOST[/PATH]"
	if !backing.There() {
		if there := im.there(v1alpha1.KindArtifactStore, r.ID); there.URL != "" {
			return there.URL
		}
		im.Unmapped(r.Value.Node, "which registry the store is cannot be known; "+give, arm.Clip(r.ID.Name()))
		return ""
	}
	id, err := arm.ParseID(im.text(p, "storageResourceId"))
	if err != nil || id.Type() != arm.TypeRegistry || !registryName.MatchString(id.Name()) {
		im.Unmapped(r.Value.Node, "its storageResourceId names no container registry; "+give, arm.Clip(r.ID.Name()))
		return ""
	}
	url := "https://" + strings.ToLower(id.Name()) + ".azurecr.io"
	if there := im.there(v1alpha1.KindArtifactStore, r.ID); there.URL != "" && there.URL != url {
		im.Tell(finding.Note, backing.Node, "the store exists with the URL %s, and keeps it", there.URL)
		return there.URL
	}
	im.Tell(finding.Note, backing.Node, "the store's URL is taken to be %s, as in Azure's public cloud; if it is another one, "+give, url, arm.Clip(r.ID.Name()))
	return url
}

// apart reports whether a URL overlaps with no other store's URL: of two overlapping stores one would be inert.
func (im *importer) apart(r input.Resource, url string) bool {
	location, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		im.Unmapped(r.Value.Node, "its URL cannot be used: %v", err)
		return false
	}
	for _, other := range im.locations[location.Host] {
		if other.id.Key() != r.ID.Key() && overlap(location, other.location) {
			im.Unmapped(r.Value.Node, "its URL %s overlaps with %s, the URL of the store %s, and two stores cannot share a place in a registry; give it its own with --registry %s=URL", url, other.url, storeName(other.id), storeName(r.ID))
			return false
		}
	}
	im.locations[location.Host] = append(im.locations[location.Host], located{r.ID, url, location})
	return true
}

// located is a store with its location.
type located struct {
	id       arm.ID
	url      string
	location v1alpha1.RegistryLocation
}

func overlap(a, b v1alpha1.RegistryLocation) bool {
	in := func(a, b string) bool { return b == "" || a == b || strings.HasPrefix(a, b+"/") }
	return a.Host == b.Host && (in(a.Prefix, b.Prefix) || in(b.Prefix, a.Prefix))
}
