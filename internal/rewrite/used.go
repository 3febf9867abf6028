package rewrite

import (
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Used returns a function that finds the Path of the image that is at a host and path, for a reading of what workloads
// use. Both names count: that of the mirror, at its address or wherever else the registry that nfo ships is reached, and
// the original one if counts says so, which is asked with neither tag nor digest.
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

// Known are the places in the mirror of the images of Artifacts.
func Known(artifacts []v1alpha1.Artifact) map[string]bool {
	known := map[string]bool{}
	for i := range artifacts {
		if image, err := Parse(artifacts[i].Spec.SourceArtifact); err == nil {
			known[image.Path()] = true
		}
	}
	return known
}

// Named is by what workloads name an image of which the mirror has the digest copied, or none: its place in the mirror,
// and a tag or digests there. A digest in the image is what counts, and not a tag beside it.
func (i Image) Named(copied string) (path, tag string, digests []string) {
	if tag = i.Tag; i.Digest != "" {
		tag, digests = "", []string{i.Digest}
	}
	if copied != "" && copied != i.Digest {
		digests = append(digests, copied)
	}
	return i.Path(), tag, digests
}

// FromPath is the image at a place in the mirror, and at a tag or digest there; ok is false for what the mirror cannot
// have.
func FromPath(path, tag, digest string) (i Image, ok bool) {
	host, repository, found := strings.Cut(path, "/")
	if !found {
		return Image{}, false
	}
	i = Image{Host: Source(host), Repository: repository, Tag: tag, Digest: digest}
	full, err := Parse(i.String())
	return full, err == nil && full == i
}
