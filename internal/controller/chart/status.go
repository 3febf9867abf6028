package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/chart/images"
)

// The API's bounds of the texts in a chart's status, in bytes.
const (
	maxProblem = 1024
	maxImage   = 1024
)

// answer is the reading of a chart with one profile.
type answer struct {
	of                        profile
	name, version, appVersion string
	images                    []v1alpha1.ChartImage
	remarks                   []string
	// err is why there may be more images.
	err error
}

func answerOf(of profile, read chart.Chart, l v1alpha1.RegistryLocation, err error) answer {
	return answer{of, read.Name, read.Version, read.AppVersion, imagesOf(read, l), read.Remarks, err}
}

// with returns the status of a chart from its readings by a reader of a
// revision: the images of all profiles. It does not say yet where they are.
func (c chartToRead) with(answers []answer, revision string) v1alpha1.ChartStatus {
	out := c.ChartStatus
	out.Reader = c.reader(revision)
	var all []v1alpha1.ChartImage
	var remarks []string
	for _, a := range answers {
		if out.Name == "" {
			out.Name, out.Version, out.AppVersion = a.name, a.version, a.appVersion
		}
		all, remarks = append(all, a.images...), append(remarks, a.remarks...)
	}
	out.Images = union(all)
	out.ImageCount = int32(len(out.Images))
	out.Images = out.Images[:min(len(out.Images), v1alpha1.MaxImages)]
	out.Problem, out.Remark = c.problem(answers), v1alpha1.Clip(strings.Join(once(remarks), "; "), maxProblem)
	return out
}

// problem explains why there may be more images than were found. If that
// depends on the values paths, it names the definitions that set them.
func (c chartToRead) problem(answers []answer) string {
	var all, texts []string
	for _, a := range answers {
		if a.err != nil {
			text := strings.ReplaceAll(a.err.Error(), "\n", "; ")
			texts, all = append(texts, text), append(all, "with the values paths of "+named(a.of.definitions)+": "+text)
		}
	}
	if texts = once(texts); len(all) == len(answers) && len(texts) == 1 {
		all = texts
	}
	if c.skipped != "" {
		all = append(all, fmt.Sprintf("with the values paths of %s: not read, for a chart is read in at most %d ways. Set the same registryValuesPaths and imagePullSecretsValuesPaths in more definitions", c.skipped, maxProfiles))
	}
	const between = "; "
	for i := range all { // so that the last ones are included, too
		all[i] = v1alpha1.Clip(all[i], (maxProblem+len(between))/len(all)-len(between))
	}
	return strings.Join(all, between)
}

// once returns the texts without repetitions, in their order.
func once(texts []string) []string {
	var all []string
	for _, text := range texts {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// imageOf returns an image's name, without the host if the image comes from the store.
func imageOf(i images.Image, l v1alpha1.RegistryLocation) v1alpha1.ChartImage {
	image := v1alpha1.ChartImage{Image: i.Repository, State: v1alpha1.ImageMissing}
	if i.Origin != images.OriginOurs && !l.Contains(v1alpha1.RegistryLocation{Host: i.Host, Prefix: i.Repository}) {
		image.Image, image.State = i.Host+"/"+i.Repository, v1alpha1.ImageForeign
	}
	if i.Tag != "" {
		image.Image += ":" + i.Tag
	}
	if i.Digest != "" {
		image.Image += "@" + i.Digest
	}
	image.Image = v1alpha1.Clip(images.Readable(image.Image), maxImage) // a host may have any length
	return image
}

// imagesOf lists the images that a chart references.
func imagesOf(read chart.Chart, l v1alpha1.RegistryLocation) []v1alpha1.ChartImage {
	var all []v1alpha1.ChartImage
	for _, i := range read.Images {
		if i.Host == "" {
			continue
		}
		image := imageOf(i, l)
		image.Place, image.Optional = i.Sources[0].String(), i.Optional()
		if image.Optional {
			image.OptionalReason = v1alpha1.OptionalReason(i.Why)
		}
		all = append(all, image)
	}
	return all
}

// union returns each image once, as needed if any reading needs it. The store's
// images that are deployed by default come first. Images from outside the store come
// last, because nothing here protects those, so that they take no room from others.
func union(images []v1alpha1.ChartImage) []v1alpha1.ChartImage {
	at := map[string]int{}
	var all []v1alpha1.ChartImage
	for _, image := range images {
		j, seen := at[image.Image]
		switch {
		case !seen:
			at[image.Image] = len(all)
			all = append(all, image)
		case optionalRank(image) < optionalRank(all[j]):
			all[j] = image
		}
	}
	rank := func(i v1alpha1.ChartImage) int {
		rank := min(optionalRank(i), 1)
		if i.State == v1alpha1.ImageForeign {
			rank += 2
		}
		return rank
	}
	slices.SortFunc(all, func(a, b v1alpha1.ChartImage) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Image, b.Image))
	})
	return all
}

// optionalRank is 0 for a needed image, and higher the less is known about its use.
func optionalRank(i v1alpha1.ChartImage) int {
	return 1 + slices.Index([]v1alpha1.OptionalReason{v1alpha1.OptionalTest, v1alpha1.OptionalDependency, v1alpha1.OptionalValues}, i.OptionalReason)
}
