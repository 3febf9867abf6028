package rewrite

import (
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Used returns a function that returns the Path of the image at a host and path, for reading which images workloads
// use. It finds references to the mirror, both at its address and at any other address of the registry that nfo ships.
// It finds an original reference if counts returns true for it; counts gets the image without tag and digest.
func Used(address string, counts func(Image) bool) func(host, path string) (string, bool) {
	return func(host, path string) (string, bool) {
		if copied, ok := Original(host+"/"+path, address); ok {
			return copied.Path(), true
		}
		if copied, ok := Original(path, v1alpha1.MirrorPrefix); ok {
			return copied.Path(), true
		}
		i, err := Parse(host + "/" + path)
		if err != nil {
			return "", false
		}
		i.Tag, i.Digest = "", ""
		if !counts(i) {
			return "", false
		}
		return i.Path(), true
	}
}

// Known returns the places in the mirror of the images of Artifacts.
func Known(artifacts []v1alpha1.Artifact) map[string]bool {
	known := map[string]bool{}
	for i := range artifacts {
		if image, err := Parse(artifacts[i].Spec.SourceArtifact); err == nil {
			known[image.Path()] = true
		}
	}
	return known
}

// Named returns by which place in the mirror, tag and digests workloads may reference the image. copied is the digest
// that the mirror has copied, or "". If the image has a digest, its tag does not count.
func (i Image) Named(copied string) (path, tag string, digests []string) {
	if tag = i.Tag; i.Digest != "" {
		tag, digests = "", []string{i.Digest}
	}
	if copied != "" && copied != i.Digest {
		digests = append(digests, copied)
	}
	return i.Path(), tag, digests
}

// FromPath returns the image for a place in the mirror and a tag or
// digest there. ok is false if the mirror cannot have such an image.
func FromPath(path, tag, digest string) (i Image, ok bool) {
	host, repository, found := strings.Cut(path, "/")
	if !found {
		return Image{}, false
	}
	i = Image{Host: Source(host), Repository: repository, Tag: tag, Digest: digest}
	full, err := Parse(i.String())
	return full, err == nil && full == i
}
