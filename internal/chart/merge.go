package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxChartSources bounds the places of all images together.
const maxChartSources = 4096

// chartPlace is a place in what a chart renders. Objects are the same one in two renderings if they
// have a file, kind and name in common.
type chartPlace struct{ template, kind, name, field string }

func placeOf(s Source) chartPlace { return chartPlace{s.Template, s.Kind, s.Name, s.Field} }

// placedImage is an image at a place, judged.
type placedImage struct {
	imageFinding
	parts    imageParts
	origin   ImageOrigin
	optional bool
}

// chartImages collects what the stages of reading a chart find.
type chartImages struct {
	rendered []placedImage
	// needed are the images, by places, that the chart renders as it is deployed.
	needed map[chartPlace]placedImage
	values []placedImage
}

func judge(f imageFinding, registry string) (placedImage, error) {
	parts, err := parseImage(f.reference)
	if !f.guessed {
		parts = parts.latest()
	}
	image := placedImage{imageFinding: f, parts: parts, origin: OriginForeign}
	if registry != "" && parts.host == registry {
		image.origin = OriginOurs
	}
	return image, err
}

// need adds what the chart renders as it is deployed. A reference that cannot be parsed is kept, and
// an error too; but not of a lenient rendering, in which the required part of it may be what is missing.
func (c *chartImages) need(found []imageFinding, registry string, lenient bool) (problems []error) {
	c.needed = map[chartPlace]placedImage{}
	for _, f := range found {
		image, err := judge(f, registry)
		switch {
		case err != nil && (f.guessed || lenient):
			continue
		case err != nil:
			problems = append(problems, atPlace(f, err))
			image.parts = imageParts{}
		}
		c.needed[placeOf(f.source)] = image
		c.rendered = append(c.rendered, image)
	}
	return problems
}

// addOptional adds what the chart renders with all its dependencies.
func (c *chartImages) addOptional(found []imageFinding, registry string) (problems []error) {
	for _, f := range found {
		image, err := judge(f, registry)
		here, ok := c.needed[placeOf(f.source)]
		switch {
		case ok && here.reference == f.reference, err != nil && f.guessed:
		case err != nil:
			problems = append(problems, atPlace(f, err))
		default:
			image.optional = true
			c.rendered = append(c.rendered, image)
		}
	}
	return problems
}

// addReplaced adds what the chart renders only as long as no registry is set. What cannot be parsed
// is left out: "/nginx:1" is what many charts make of no registry.
func (c *chartImages) addReplaced(found []imageFinding) {
	known := map[imageParts]bool{}
	for _, image := range c.rendered {
		known[image.parts] = true
	}
	for _, f := range found {
		if image, err := judge(f, ""); err == nil && !known[image.parts] {
			image.origin = OriginReplaced
			c.rendered = append(c.rendered, image)
		}
	}
}

func atPlace(f imageFinding, err error) error {
	return fmt.Errorf("in %s, %s %s: %w", f.source.Template, f.source.Kind, f.source.Name, err)
}

// addValues adds what values name. off are the paths of dependencies that are switched off.
func (c *chartImages) addValues(found []imageFinding, off []string) {
	for _, f := range found {
		image, err := judge(f, Registry)
		if err != nil {
			continue // it looked like an image, no more
		}
		image.optional = slices.ContainsFunc(off, func(path string) bool { return strings.HasPrefix(f.source.Values, path+".") })
		c.values = append(c.values, image)
	}
}

// list merges what was found. What values and templates name both is one image.
func (c *chartImages) list() ([]Image, error) {
	var err error
	if n := len(c.rendered) + len(c.values); n > maxChartSources {
		err = fmt.Errorf("%w: it names images at %d places, at most %d are read", ErrTooLarge, n, maxChartSources)
		c.rendered = c.rendered[:min(len(c.rendered), maxChartSources)]
		c.values = c.values[:min(len(c.values), maxChartSources-len(c.rendered))]
	}
	var l imageList
	for _, p := range c.rendered {
		l.put(p)
	}
	inTemplates := len(l.images)
	for _, p := range c.values {
		named := false
		for i := range inTemplates {
			if p.parts.covers(l.parts[i]) {
				l.name(i, p)
				named = true
			}
		}
		if !named {
			l.put(p)
		}
	}
	return l.sorted(), err
}

// imageIdentity is what makes two places name one image.
type imageIdentity struct {
	raw    string // of what cannot be parsed
	parts  imageParts
	origin ImageOrigin
}

type imageList struct {
	images  []Image
	parts   []imageParts // of the images
	at      map[imageIdentity]int
	sources int
}

func (l *imageList) put(p placedImage) {
	id := imageIdentity{parts: p.parts, origin: p.origin}
	if p.parts == (imageParts{}) {
		id.raw = p.reference
	}
	i, ok := l.at[id]
	if !ok {
		if l.at == nil {
			l.at = map[imageIdentity]int{}
		}
		i = len(l.images)
		l.at[id] = i
		l.parts = append(l.parts, p.parts)
		l.images = append(l.images, Image{
			Reference: clip(p.reference, maxChartReference), Origin: p.origin, Optional: p.optional,
			Host: p.parts.host, Repository: p.parts.repository, Tag: p.parts.tag, Digest: p.parts.digest,
		})
	}
	l.name(i, p)
}

// name adds a source to an image. Each has one at least.
func (l *imageList) name(i int, p placedImage) {
	l.images[i].Optional = l.images[i].Optional && p.optional
	if l.sources++; l.sources > maxChartSources && len(l.images[i].Sources) > 0 {
		return
	}
	l.images[i].Sources = append(l.images[i].Sources, p.source)
}

func (l *imageList) sorted() []Image {
	for _, image := range l.images {
		slices.SortFunc(image.Sources, func(a, b Source) int {
			return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
				cmp.Compare(a.Field, b.Field), cmp.Compare(a.Values, b.Values))
		})
	}
	slices.SortFunc(l.images, func(a, b Image) int {
		return cmp.Or(cmp.Compare(a.Reference, b.Reference), cmp.Compare(a.Origin, b.Origin))
	})
	return l.images
}
