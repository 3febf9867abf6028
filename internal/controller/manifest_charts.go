package controller

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// charts says of each chart where the images are that it needs, and what follows for the manifest.
func (seen manifestSeen) charts(v *manifestVerdict) {
	known := seen.read.over(seen.manifest.Status.Charts)
	listed := v.artifacts[:min(len(seen.manifest.Spec.Artifacts), len(v.artifacts))]
	var unseen, unread int
	room := v1alpha1.MaxImages
	v.charts = nil
	for _, a := range listed {
		if a.Digest == "" {
			unseen++ // it may be a chart
		}
		if a.ConfigMediaType != v1alpha1.MediaTypeChartConfig || a.Digest == "" {
			continue
		}
		c, ok := known[keyOf(a)]
		if !ok || c.Digest != a.Digest {
			unread++
			continue
		}
		c.Images = slices.Clone(c.Images[:min(len(c.Images), room)])
		room -= len(c.Images)
		for i := range c.Images {
			seen.place(&c.Images[i], listed)
		}
		v.charts = append(v.charts, c)
	}
	seen.complete(v, unseen, unread)
}

// lacksImages reports whether charts need images that are not in the manifest.
func (seen manifestSeen) lacksImages() bool {
	listed := wanted(seen.manifest, seen.location)[:len(seen.manifest.Spec.Artifacts)]
	for _, c := range seen.read.over(seen.manifest.Status.Charts) {
		for _, image := range c.Images {
			if seen.place(&image, listed); image.State == v1alpha1.ImageMissing {
				return true
			}
		}
	}
	return false
}

// looksElsewhere reports whether another manifest has, or could have, what charts need.
func (v manifestVerdict) looksElsewhere() bool {
	return slices.ContainsFunc(v.charts, func(c v1alpha1.ChartStatus) bool {
		return slices.ContainsFunc(c.Images, func(i v1alpha1.ChartImage) bool {
			return i.State == v1alpha1.ImageMissing || i.State == v1alpha1.ImageOtherManifest
		})
	})
}

// place says where an image lies. One that comes from another registry stays there.
func (seen manifestSeen) place(image *v1alpha1.ChartImage, listed []v1alpha1.ArtifactStatus) {
	if image.State == v1alpha1.ImageForeign {
		return
	}
	before := image.Manifest
	image.State, image.Manifest, image.Repository, image.Digest = v1alpha1.ImageMissing, "", "", ""
	want := parseWanted(image.Image, seen.location, seen.manifest)
	for _, a := range listed {
		if want.is(a.Repository, a.ArtifactVersion, a.Digest) {
			image.State, image.Repository, image.Digest = v1alpha1.ImageInManifest, a.Repository, a.Digest
			return
		}
	}
	if o := seen.elsewhere.find(want, seen.manifest.Name, before); o != nil {
		image.State, image.Manifest, image.Repository, image.Digest = v1alpha1.ImageOtherManifest, o.manifest, o.repository, o.digest
	}
}

// wantedImage is an image as a chart names it, and the places that it may mean: the registry that a
// definition sets is the store's host, its whole URL, or the path of the manifest.
type wantedImage struct {
	name, tag, digest string
	places            []string
}

func parseWanted(image string, l v1alpha1.RegistryLocation, m *v1alpha1.ArtifactManifest) wantedImage {
	rest, digest, _ := strings.Cut(image, "@")
	name, tag, _ := strings.Cut(rest, ":")
	return wantedImage{name, tag, digest, []string{
		l.Repository(m.Name, m.Spec.UploadPath, name), l.Repository("", v1alpha1.StoreScoped, name), name,
	}}
}

// is reports whether an artifact is the image. A digest counts more than a tag.
func (w wantedImage) is(repository, version, digest string) bool {
	if !slices.Contains(w.places, repository) {
		return false
	}
	if w.digest != "" {
		return w.digest == digest
	}
	return w.tag == "" || w.tag == version
}

// complete concludes whether all images are there that the charts need.
func (seen manifestSeen) complete(v *manifestVerdict, unseen, unread int) {
	var problems, missing, foreign, other []string
	needed := 0
	for _, c := range v.charts {
		by := fmt.Sprintf(" (chart %s:%s)", c.ArtifactName, c.ArtifactVersion)
		if c.Problem != "" {
			problems = append(problems, c.ArtifactName+":"+c.ArtifactVersion+": "+c.Problem)
		}
		for _, i := range c.Images {
			if i.Optional {
				continue
			}
			needed++
			switch i.State {
			case v1alpha1.ImageMissing:
				missing = append(missing, i.Image+by)
			case v1alpha1.ImageForeign:
				foreign = append(foreign, i.Image+by)
			case v1alpha1.ImageOtherManifest:
				other = append(other, fmt.Sprintf("%s in %s%s", i.Image, i.Manifest, by))
			}
		}
	}
	set := func(status metav1.ConditionStatus, reason, format string, args ...any) {
		v.conditions.set(v1alpha1.ConditionComplete, status, reason, fmt.Sprintf(format, args...))
	}
	switch {
	case len(problems) > 0:
		set(metav1.ConditionFalse, v1alpha1.ReasonChartUnreadable, "What charts need is not all known; everything is kept: %s.", strings.TrimSuffix(atMost(problems), "."))
	case len(missing) > 0:
		set(metav1.ConditionFalse, v1alpha1.ReasonMissingImage, "No manifest of the store lists %s. List them here and push them, or correct the charts' values.", atMost(missing))
	case len(foreign) > 0:
		set(metav1.ConditionFalse, v1alpha1.ReasonForeignImage, "Charts name images of other registries, which nothing here keeps: %s. Set registryValuesPaths in the definition, or change the charts.", atMost(foreign))
	case unread > 0 && seen.read.trouble != nil:
		set(metav1.ConditionUnknown, reasonOf(seen.read.trouble), "%d of %d charts have been read: %s", len(v.charts), len(v.charts)+unread, explain(seen.read.trouble))
	case unread > 0:
		set(metav1.ConditionUnknown, v1alpha1.ReasonPending, "%d of %d charts have been read.", len(v.charts), len(v.charts)+unread)
	case unseen > 0:
		set(metav1.ConditionUnknown, v1alpha1.ReasonPending, "%d artifacts have not been seen in the registry yet; there may be charts among them.", unseen)
	case len(other) > 0:
		set(metav1.ConditionTrue, v1alpha1.ReasonOtherManifest, "Some of the %d images that its charts need are in other manifests, which the definitions that deploy the charts hold, too: %s.", needed, atMost(other))
	default:
		set(metav1.ConditionTrue, v1alpha1.ReasonComplete, "It has all of the %d images that its %d charts need.", needed, len(v.charts))
	}
}
