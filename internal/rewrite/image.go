package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ErrImage is wrapped if a text is not an image reference, or refers to an image that cannot be mirrored.
var ErrImage = errors.New("not an image that can be mirrored")

// maxImage is the maximum length of an image reference, in bytes, as in the schema of Artifact.
const maxImage = 512

// Image is a complete image reference.
type Image struct {
	// Host is the host of the registry, with a port if the reference has one: docker.io, registry.example.com:5000.
	Host string
	// Repository is the repository in that registry.
	Repository string
	// Tag and Digest are those of the reference. One of them may be "".
	Tag, Digest string
}

// Parse parses an image reference as in the image field of a container:
// nginx is docker.io/library/nginx:latest. Errors wrap ErrImage.
func Parse(image string) (Image, error) {
	if len(image) > maxImage {
		return Image{}, fmt.Errorf("%w: it has more than %d characters", ErrImage, maxImage)
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return Image{}, fmt.Errorf("%w: %w", ErrImage, err)
	}
	named = reference.TagNameOnly(named)
	i := Image{Host: strings.ToLower(reference.Domain(named)), Repository: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		i.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		i.Digest = digested.Digest().String()
	}
	switch {
	case strings.HasPrefix(i.Host, "["):
		return Image{}, fmt.Errorf("%w: the host %s is an IPv6 address, which cannot be part of a repository's name", ErrImage, i.Host)
	case len(v1alpha1.MirrorPrefix)+1+len(i.Path()) > v1alpha1.MaxRepositoryName:
		return Image{}, fmt.Errorf("%w: with the mirror's prefix and the host, the repository's name has more than %d characters", ErrImage, v1alpha1.MaxRepositoryName)
	}
	return i, nil
}

// String returns the complete reference, as in the spec of an Artifact.
func (i Image) String() string { return i.Host + "/" + i.Repository + i.suffix() }

// Reference returns the digest or, without one, the tag, by which the image is pulled.
func (i Image) Reference() string { return cmp.Or(i.Digest, i.Tag) }

func (i Image) suffix() string {
	var s string
	if i.Tag != "" {
		s = ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest
	}
	return s
}

// Artifact returns the Artifact of the image in a namespace.
func (i Image) Artifact(namespace string) *v1alpha1.Artifact {
	a := &v1alpha1.Artifact{Spec: v1alpha1.ArtifactSpec{SourceArtifact: i.String()}}
	a.Namespace, a.Name = namespace, v1alpha1.ArtifactName(i.String())
	return a
}

// Path returns the place of the image below the mirror's prefix: the
// host, with an underscore instead of the colon, and the repository.
func (i Image) Path() string { return strings.Replace(i.Host, ":", "_", 1) + "/" + i.Repository }

// MirrorRepository returns the full path of the image's repository in the registry that nfo ships.
func (i Image) MirrorRepository() string { return v1alpha1.MirrorPrefix + "/" + i.Path() }

// At returns the reference by which a pod pulls the image from
// the mirror at an address; see v1alpha1.MirrorSpec.PullAddress.
func (i Image) At(address string) string { return address + "/" + i.Path() + i.suffix() }

// Original returns the image of which a reference at the mirror's address
// is a copy. ok is false if the reference is not at that address.
func Original(image, address string) (original Image, ok bool) {
	rest, found := strings.CutPrefix(image, address+"/")
	if !found || address == "" {
		return Image{}, false
	}
	host, repository, found := strings.Cut(rest, "/")
	if !found {
		return Image{}, false
	}
	i, err := Parse(Source(host) + "/" + repository)
	return i, err == nil
}

// Source returns the host for the first segment of a Path.
func Source(segment string) string { return strings.Replace(segment, "_", ":", 1) }
