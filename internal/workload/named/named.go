// Package named says what image references name of what a reading of workloads is about.
//
// Contract: references are read as container runtimes read them. What may be a copy in a mirror of something counts as that.
package named

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Name is what something in a registry is called, in the repository of a store.
type Name struct {
	// Repository is the whole one in the store's registry.
	Repository string
	// Tag is "" where a digest is pulled.
	Tag    string
	Digest string
}

// Find finds by which name a Reading has the repository at a host and path; ok is false for one that the Reading is not
// about.
type Find func(host, path string) (repository string, ok bool)

// Names finds what image references name, of what a reading is about.
type Names struct {
	Inside Find
	// Images: the reading is of images and not of a store, so that a tag counts beside a digest as well.
	Images bool
}

// Find reads an image reference as container runtimes do, and finds what it names. One that no runtime can read names
// nothing: no pod was ever started with it.
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
	if t, tagged := ref.(reference.Tagged); tagged && (!pinned || n.Images) { // beside a digest it is for people only
		at.Tag = t.Tag()
	}
	if !pinned && at.Tag == "" {
		at.Tag = "latest"
	}
	return at, true
}

// Places are the locations by which images of a store are named. The first one is the store's own.
type Places []v1alpha1.RegistryLocation

// Inside finds the store's repository behind a host and path. Where these are not a place of the store, they may name
// the copy of one in a mirror or a cache, as MIRROR/HOST/REPOSITORY. Any MIRROR counts: the address of nfo's own can
// change, or the mirror be disabled, while pods still run what they pulled there.
func (p Places) Inside(host, path string) (repository string, ok bool) {
	repository, ok = p.behind(host, path)
	for found := true; !ok && found; {
		if host, path, found = strings.Cut(path, "/"); found && (host == "localhost" || strings.ContainsAny(host, "._")) { // others are no hosts
			repository, ok = p.behind(strings.Replace(host, "_", ":", 1), path) // a path has no colon; see rewrite.Image.Path
		}
	}
	return repository, ok
}

// behind finds the store's repository at a host and path that are its own, or an alias. The longest prefix counts.
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

// Pulled finds what a node says that it has pulled for an image. Nodes may call it by another name under which they
// have the same digest, so that the repository of the image counts too.
func (n Names) Pulled(image, id string) []Name {
	id = strings.TrimPrefix(strings.TrimPrefix(id, "docker-pullable://"), "docker://")
	at, d, ok := strings.Cut(id, "@")
	if !ok || digest.Digest(d).Validate() != nil { // the digest of a configuration, of an image that was loaded by hand
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
