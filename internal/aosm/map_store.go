package aosm

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// unused reports what was given for stores which are not in the input.
func (im *importer) unused() {
	tell := func(flag, name string) {
		im.report.add(Finding{Level: NotMapped, Path: flag, Reason: fmt.Sprintf("no store of the input that can be mapped is called %q", clip(name))})
	}
	for _, name := range slices.Sorted(maps.Keys(im.options.Registries)) {
		if !im.registries[fold(name)] {
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

func (im *importer) mapStore(r resource) {
	p := r.properties()
	if kind := im.text(p, "storeType"); kind != "" && fold(kind) != "azurecontainerregistry" {
		im.unmapped(r.value.node, "a store of type %q is not an OCI registry", clip(kind))
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

// storeName is how a store is named on the command line, where its own name is not enough.
func storeName(id resourceID) string { return clip(id.publisher() + "/" + id.name()) }

// givenURL is the URL that was given for a store. It reports false, and tells why, where the name that it was
// given for means stores of several publishers.
func (im *importer) givenURL(r resource) (url string, given, ok bool) {
	short, whole := fold(r.id.name()), fold(r.id.publisher()+"/"+r.id.name())
	for name, url := range im.options.Registries {
		if fold(name) == whole {
			im.registries[whole] = true
			return url, true, true
		}
	}
	for name, url := range im.options.Registries {
		if fold(name) != short {
			continue
		}
		im.registries[short] = true
		if owners := im.ownersOf(short); len(owners) > 1 {
			im.unmapped(r.value.node, "several publishers have a store %s (%s), but --registry gives one URL; give each store its own, such as --registry %s=%s", clip(r.id.name()), some("publisher", owners), storeName(r.id), url)
			return "", false, false
		}
		return url, true, true
	}
	return "", false, true
}

// ownersOf are the publishers with a store of a name.
func (im *importer) ownersOf(store string) []string {
	if im.owners == nil {
		im.owners = map[string][]string{}
		for _, r := range im.found { // each once
			if r.id.typ() == typeStore {
				name := fold(r.id.name())
				im.owners[name] = append(im.owners[name], fold(r.id.publisher()))
			}
		}
		for _, owners := range im.owners {
			slices.Sort(owners)
		}
	}
	return im.owners[store]
}

// derivedURL is the URL of the registry which Azure keeps the store in; "" where the input does not say it.
func (im *importer) derivedURL(r resource, p value) string {
	backing := p.get("storageResourceId")
	const give = "give it with --registry %s=https://HOST[/PATH]"
	if !backing.there() {
		if there := im.there(v1alpha1.KindArtifactStore, r.id); there.URL != "" {
			return there.URL
		}
		im.unmapped(r.value.node, "which registry the store is cannot be known; "+give, clip(r.id.name()))
		return ""
	}
	id, err := parseID(im.text(p, "storageResourceId"))
	if err != nil || id.typ() != typeRegistry || !registryName.MatchString(id.name()) {
		im.unmapped(r.value.node, "its storageResourceId names no container registry; "+give, clip(r.id.name()))
		return ""
	}
	url := "https://" + strings.ToLower(id.name()) + ".azurecr.io"
	if there := im.there(v1alpha1.KindArtifactStore, r.id); there.URL != "" && there.URL != url {
		im.tell(Note, backing.node, "the store exists with the URL %s, and keeps it", there.URL)
		return there.URL
	}
	im.tell(Note, backing.node, "the store's URL is taken to be %s, as in Azure's public cloud; if it is another one, "+give, url, clip(r.id.name()))
	return url
}

// apart reports whether a URL is not another store's, nor in another store's or around it: of two such stores
// one would be inert.
func (im *importer) apart(r resource, url string) bool {
	location, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		im.unmapped(r.value.node, "its URL cannot be used: %v", err)
		return false
	}
	for _, other := range im.locations[location.Host] {
		if other.id.key() != r.id.key() && overlap(location, other.location) {
			im.unmapped(r.value.node, "its URL %s overlaps with %s, the URL of the store %s, and two stores cannot share a place in a registry; give it its own with --registry %s=URL", url, other.url, storeName(other.id), storeName(r.id))
			return false
		}
	}
	im.locations[location.Host] = append(im.locations[location.Host], located{r.id, url, location})
	return true
}

// located is where a store is.
type located struct {
	id       resourceID
	url      string
	location v1alpha1.RegistryLocation
}

func overlap(a, b v1alpha1.RegistryLocation) bool {
	in := func(a, b string) bool { return b == "" || a == b || strings.HasPrefix(a, b+"/") }
	return a.Host == b.Host && (in(a.Prefix, b.Prefix) || in(b.Prefix, a.Prefix))
}
