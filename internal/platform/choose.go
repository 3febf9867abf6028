package platform

import (
	"encoding/json"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrNone is returned for an image that has no child of a listed platform.
var ErrNone = errors.New("the image has none of the platforms that are mirrored")

// maxChildren is the maximum number of children of an index to choose from.
// Of a larger index all children are chosen; no registry accepts one.
const maxChildren = 10_000

// unknown is what builders write as the operating system and architecture of attestations.
const unknown = "unknown"

// dockerManifestList is the media type of Docker's indexes.
const dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"

// child is an entry of an index.
type child struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Platform  struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
	Annotations struct {
		// Of is the image that an attestation is about, as written by BuildKit.
		Of digest.Digest `json:"vnd.docker.reference.digest"`
	} `json:"annotations"`
}

// known reports whether it is clear which platform a child is for.
func (c child) known() bool {
	is := func(s string) bool { return s != "" && s != unknown }
	return is(c.Platform.OS) && is(c.Platform.Architecture)
}

func (c child) platform() Platform {
	return Platform{c.Platform.OS, c.Platform.Architecture, c.Platform.Variant}
}

func (c child) isIndex() bool {
	return c.MediaType == ocispec.MediaTypeImageIndex || c.MediaType == dockerManifestList
}

// Choice says which children of an index are mirrored.
type Choice struct {
	// Matched is true if a child is, or may be, of a listed platform, or if there is nothing to
	// choose. A child index without a platform does not make it true, because its own children decide.
	Matched bool
	// Platforms are the platforms that the index names, each once and in the order of the index.
	Platforms []string

	left map[digest.Digest]bool
}

// Has reports whether a child of the index is chosen. A digest that Choose did not find in the
// index counts as chosen, because a caller that found it has parsed the index differently.
func (c Choice) Has(d digest.Digest) bool { return !c.left[d] }

// Choose returns which children of an index, given by its bytes, are mirrored. It chooses all if
// the list is empty, if the index cannot be parsed, or if no child would be chosen otherwise.
func (l List) Choose(index []byte) Choice {
	all := Choice{Matched: true}
	if len(l) == 0 {
		return all
	}
	var read struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(index, &read); err != nil || len(read.Manifests) == 0 || len(read.Manifests) > maxChildren {
		return all
	}
	children := make([]child, len(read.Manifests))
	for i, text := range read.Manifests {
		if json.Unmarshal(text, &children[i]) != nil {
			return all
		}
	}
	return l.choose(children)
}

func (l List) choose(children []child) Choice {
	c := Choice{Platforms: platformsOf(children)}
	chosen := map[digest.Digest]bool{}
	images := map[digest.Digest]bool{} // the images that an attestation of this index can be about
	for _, one := range children {
		switch {
		case one.known():
			images[one.Digest] = true
			if l.matches(one.platform()) {
				chosen[one.Digest], c.Matched = true, true
			}
		case one.Annotations.Of == "":
			images[one.Digest] = true
			chosen[one.Digest], c.Matched = true, c.Matched || !one.isIndex()
		}
	}
	if len(chosen) == 0 {
		return Choice{Platforms: c.Platforms}
	}
	for _, one := range children {
		if of := one.Annotations.Of; !one.known() && of != "" && (chosen[of] || !images[of]) {
			chosen[one.Digest] = true
		}
	}
	c.left = others(children, chosen)
	return c
}

// others returns the children that are not chosen.
func others(children []child, chosen map[digest.Digest]bool) map[digest.Digest]bool {
	left := map[digest.Digest]bool{}
	for _, one := range children {
		if !chosen[one.Digest] {
			left[one.Digest] = true
		}
	}
	return left
}

// platformsOf returns the platforms that an index names.
func platformsOf(children []child) []string {
	var names []string
	seen := map[string]bool{}
	for _, one := range children {
		if name := one.platform().String(); one.known() && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
