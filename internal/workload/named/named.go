// Package named resolves image references to repositories, tags and digests of a reading's subject, such as a store.
//
// Contract: references are parsed as container runtimes parse them.
// An image that may be a copy in a mirror counts as the original.
package named

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Name is the repository, tag and digest of an artifact of a store.
type Name struct {
	// Repository is the full path in the store's registry.
	Repository string
	// Tag is "" if a digest is pulled.
	Tag    string
	Digest string
}

// Find returns the name that a Reading uses for the repository at a host
// and path. ok is false if the Reading does not cover that repository.
type Find func(host, path string) (repository string, ok bool)

// Names resolves image references for a reading.
type Names struct {
	Inside Find
	// Images is true for a reading of images instead of a store:
	// the tag of a reference then counts in addition to its digest.
	Images bool
}

// Find parses an image reference as container runtimes do, and returns its Name. A reference that no runtime can parse
// has none, because no pod can have been started with it.
func (n Names) Find(image string) (Name, bool) {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return Name{}, false
	}
	at := Name{}
	var ok bool
	if at.Repository, ok = n.Inside(reference.Domain(ref), reference.Path(ref)); !ok {
		return Name{}, false
	}
	d, pinned := ref.(reference.Digested)
	if pinned {
		at.Digest = d.Digest().String()
	}
	if t, tagged := ref.(reference.Tagged); tagged && (!pinned || n.Images) { // runtimes ignore a tag beside a digest
		at.Tag = t.Tag()
	}
	if !pinned && at.Tag == "" {
		at.Tag = "latest"
	}
	return at, true
}

// Places are the locations by which images of a store are referenced. The first one is the store's own.
type Places []v1alpha1.RegistryLocation

// Inside returns the store's repository at a host and path. A path outside of the store's places may be the copy in a
// mirror or a cache, as MIRROR/HOST/REPOSITORY. Any MIRROR counts, because pods still run what they pulled from nfo's
// mirror after its address has changed or it was disabled.
func (p Places) Inside(host, path string) (repository string, ok bool) {
	repository, ok = p.behind(host, path)
	for found := true; !ok && found; {
		if host, path, found = strings.Cut(path, "/"); found && (host == "localhost" || strings.ContainsAny(host, "._")) { // other segments are not hosts
			repository, ok = p.behind(strings.Replace(host, "_", ":", 1), path) // a path cannot contain a colon; see rewrite.Image.Path
		}
	}
	return repository, ok
}

// behind returns the store's repository at a host and path of the
// store itself or of an alias. The longest matching prefix decides.
func (p Places) behind(host, path string) (repository string, ok bool) {
	best := -1
	for _, l := range p {
		here := v1alpha1.RegistryLocation{Host: host, Prefix: path}
		if !l.Contains(here) || path == l.Prefix || len(l.Prefix) <= best {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(path, l.Prefix), "/")
		best, repository = len(l.Prefix), strings.TrimPrefix(p[0].Prefix+"/"+rest, "/")
	}
	return repository, best >= 0
}

// Pulled returns the names of the image that a node reports to have pulled. A node may report another repository in
// which it has the same digest, so the repository of the image reference counts too.
func (n Names) Pulled(image, id string) []Name {
	id = strings.TrimPrefix(strings.TrimPrefix(id, "docker-pullable://"), "docker://")
	at, d, ok := strings.Cut(id, "@")
	if !ok || digest.Digest(d).Validate() != nil { // the digest of an image configuration: the image was loaded by hand
		return nil
	}
	var all []Name
	for _, from := range []string{at, image} {
		if found, ok := n.Find(from); ok {
			found.Tag, found.Digest = "", d
			all = append(all, found)
		}
	}
	return all
}
