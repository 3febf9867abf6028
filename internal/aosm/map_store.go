package aosm

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// unusedRegistries tells of registries that were given for stores which are not in the input.
func (im *importer) unusedRegistries() {
	for _, name := range slices.Sorted(maps.Keys(im.options.Registries)) {
		if !im.registries[name] {
			im.findings = append(im.findings, Finding{Level: NotMapped, Path: "--registry", Reason: fmt.Sprintf("no store of the input that can be mapped is called %q", clip(name))})
		}
	}
}

var registryName = regexp.MustCompile(`^[a-zA-Z0-9]{5,50}$`)

func (im *importer) mapStore(r resource) {
	p := r.properties()
	if kind := im.text(p, "storeType"); kind != "" && fold(kind) != "azurecontainerregistry" {
		im.unmapped(r.value.node, "a store of type %q is no OCI registry", clip(kind))
		return
	}
	url := im.registryURL(r, p)
	if url == "" {
		return
	}
	o := &v1alpha1.ArtifactStore{}
	o.Spec.Registry.URL = url
	im.putPublished(o, &o.ObjectMeta, v1alpha1.KindArtifactStore, r)
}

// registryURL is the one that was given, or that of the registry which Azure keeps the store in.
func (im *importer) registryURL(r resource, p value) string {
	backing := p.get("storageResourceId")
	for name, url := range im.options.Registries {
		if fold(name) == fold(r.id.name()) {
			im.registries[name] = true
			return url
		}
	}
	const give = "give it with --registry %s=https://HOST[/PATH]"
	if !backing.there() {
		im.unmapped(r.value.node, "which registry the store is cannot be known; "+give, clip(r.id.name()))
		return ""
	}
	id, err := parseID(im.text(p, "storageResourceId"))
	if err != nil || id.typ() != typeRegistry || !registryName.MatchString(id.name()) {
		im.unmapped(r.value.node, "its storageResourceId names no container registry; "+give, clip(r.id.name()))
		return ""
	}
	url := "https://" + strings.ToLower(id.name()) + ".azurecr.io"
	im.tell(Note, backing.node, "the store's URL is taken to be %s, as in Azure's public cloud; if it is another one, "+give, url, clip(r.id.name()))
	return url
}
