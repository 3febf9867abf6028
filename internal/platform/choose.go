package platform

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrNone is an image of which no child is of a listed platform.
var ErrNone = errors.New("the image has none of the platforms that are mirrored")

// unknown is what builders write as the operating system and the architecture of attestations.
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
		// Of is the image that an attestation is about, as BuildKit writes it.
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

// Choice is which children of an index are mirrored.
type Choice struct {
	// Matched is true if a child is of a listed platform or may be, or if there is nothing to choose. Another index whose
	// platform is not clear counts by its own children.
	Matched bool
	// Platforms are those that the index names, each once and in its order.
	Platforms []string

	chosen map[digest.Digest]bool // nil for all
}

// Has reports whether a child of the index is chosen.
func (c Choice) Has(d digest.Digest) bool { return c.chosen == nil || c.chosen[d] }

// Choose says which children of an index, given by its bytes, are mirrored. All are if the list is empty, if the index
// cannot be read in this regard, or if no image in it is chosen otherwise.
func (l List) Choose(index []byte) Choice {
	var read struct {
		Manifests []child `json:"manifests"`
	}
	if err := json.Unmarshal(index, &read); err != nil || len(l) == 0 || len(read.Manifests) == 0 {
		return Choice{Matched: true}
	}
	return l.choose(read.Manifests)
}

func (l List) choose(children []child) Choice {
	c := Choice{Platforms: platformsOf(children), chosen: map[digest.Digest]bool{}}
	images := map[digest.Digest]bool{} // what an attestation of this index can be about
	for _, one := range children {
		switch {
		case one.known():
			images[one.Digest] = true
			if l.matches(one.platform()) {
				c.chosen[one.Digest], c.Matched = true, true
			}
		case one.Annotations.Of == "":
			images[one.Digest] = true
			c.chosen[one.Digest], c.Matched = true, c.Matched || !one.isIndex()
		}
	}
	if len(c.chosen) == 0 {
		return Choice{Platforms: c.Platforms}
	}
	for _, one := range children {
		if of := one.Annotations.Of; !one.known() && of != "" && (c.chosen[of] || !images[of]) {
			c.chosen[one.Digest] = true
		}
	}
	return c
}

// platformsOf are the platforms that an index names.
func platformsOf(children []child) []string {
	var names []string
	for _, one := range children {
		if name := one.platform().String(); one.known() && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
