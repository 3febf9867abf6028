package plugin

import (
	"fmt"

	imageref "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ImageReference refers to content in a registry by its digest if it has one, else by its tag.
type ImageReference struct {
	Written          string
	Host, Repository string
	Tag              string
	Digest           digest.Digest
}

// ParseImage parses HOST/REPOSITORY:TAG or HOST/REPOSITORY[:TAG]@DIGEST. There is no default host and no default tag.
func ParseImage(s string) (ImageReference, error) {
	i := ImageReference{Written: s}
	ref, err := imageref.Parse(s)
	if err != nil {
		return i, fmt.Errorf("%q is not an image: %w", s, err)
	}
	named, ok := ref.(imageref.Named)
	if !ok || imageref.Domain(named) == "" {
		return i, fmt.Errorf("%q does not begin with a registry's host, such as registry.example.com/", s)
	}
	i.Host, i.Repository = imageref.Domain(named), imageref.Path(named)
	if _, err := v1alpha1.ParseRegistryURL("https://" + i.Host); err != nil {
		return i, fmt.Errorf("the host of %q is not one that a registry can have", s)
	}
	if t, ok := ref.(imageref.Tagged); ok {
		i.Tag = t.Tag()
	}
	if d, ok := ref.(imageref.Digested); ok {
		i.Digest = d.Digest()
	}
	if i.Tag == "" && i.Digest == "" {
		return i, fmt.Errorf("%q has neither a tag nor a digest", s)
	}
	return i, nil
}

// Full returns the image with its host, and its tag and digest if it has them.
func (i ImageReference) Full() string {
	s := i.Host + "/" + i.Repository
	if i.Tag != "" {
		s += ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest.String()
	}
	return s
}
