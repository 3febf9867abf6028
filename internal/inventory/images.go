package inventory

import (
	"slices"
	"strings"
)

// Image is an image as a chart names it, and the places that it may mean: the registry that a
// definition sets is the store's host, its whole URL, or the path of the manifest.
type Image struct {
	Name, Tag, Digest string
	Places            []string
}

// ParseImage reads an image. Its Places are empty.
func ParseImage(image string) Image {
	rest, digest, _ := strings.Cut(image, "@")
	name, tag, _ := strings.Cut(rest, ":")
	return Image{Name: name, Tag: tag, Digest: digest}
}

// Is reports whether an artifact is the image. A digest counts more than a tag.
func (w Image) Is(repository, version, digest string) bool {
	if !slices.Contains(w.Places, repository) {
		return false
	}
	if w.Digest != "" {
		return w.Digest == digest
	}
	return w.Tag == "" || w.Tag == version
}
