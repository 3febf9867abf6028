package inventory

import (
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Image is an image as a chart references it. Places are the repositories that the reference may mean, because
// the registry that a definition sets may be the store's host, its whole URL, or the path of the manifest.
type Image struct {
	Name, Tag, Digest string
	Places            []string
}

// ParseImage parses an image reference. Places are left empty.
func ParseImage(image string) Image {
	rest, digest, _ := strings.Cut(image, "@")
	name, tag, _ := strings.Cut(rest, ":")
	return Image{Name: name, Tag: tag, Digest: digest}
}

// Is reports whether an artifact is the image. If the image has a digest, its tag is ignored.
func (w Image) Is(repository, version, digest string) bool {
	if !slices.Contains(w.Places, repository) {
		return false
	}
	if w.Digest != "" {
		return w.Digest == digest
	}
	return w.Tag == "" || w.Tag == version
}

// Place sets where an image of a manifest's chart is: in the manifest itself or in another one. An
// image from outside of the store is left as it is. A digest that no manifest lists may be that of one
// platform of an image that is listed by its tag, or by any version if the reference has no tag. Such
// an image is Missing, but has the manifest and repository of the listed tag, so that these are held.
func (c Catalogue) Place(image *v1alpha1.ChartImage, m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation, listed []v1alpha1.ArtifactStatus) {
	if image.State == v1alpha1.ImageForeign {
		return
	}
	before := image.Manifest
	image.State, image.Manifest, image.Repository, image.Digest = v1alpha1.ImageMissing, "", "", ""
	want := ParseImage(image.Image)
	want.Places = []string{l.Repository(m.Name, m.Spec.UploadPath, want.Name), l.Repository("", v1alpha1.StoreScoped, want.Name), want.Name}
	c.place(want, image, m.Name, before, listed)
	if want.Digest != "" && image.State == v1alpha1.ImageMissing {
		want.Digest = ""
		if want.Tag == "" { // it may be any version; search the other manifests first, because the chart's own manifest is held anyway
			c.place(want, image, m.Name, before, nil)
		}
		if image.State == v1alpha1.ImageMissing {
			c.place(want, image, m.Name, before, listed)
		}
		image.State, image.Digest = v1alpha1.ImageMissing, ""
	}
}

func (c Catalogue) place(want Image, image *v1alpha1.ChartImage, self, before string, listed []v1alpha1.ArtifactStatus) {
	for _, a := range listed {
		if want.Is(a.Repository, a.ArtifactVersion, a.Digest) {
			image.State, image.Repository, image.Digest = v1alpha1.ImageInManifest, a.Repository, a.Digest
			return
		}
	}
	if o := c.Find(want, self, before); o != nil {
		image.State, image.Manifest, image.Repository, image.Digest = v1alpha1.ImageOtherManifest, o.Manifest, o.Repository, o.Digest
	}
}
