package images

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/internal/chart/render"
)

// MaxSources bounds the number of sources of all images together.
const MaxSources = 4096

// foundAt is a reference and its place in a rendered chart. Objects in
// two renderings count as the same if file, kind and name are equal.
type foundAt struct{ template, kind, name, field, reference string }

func (f Finding) at() foundAt {
	return foundAt{f.source.Template, f.source.Kind, f.source.Name, f.source.Field, f.reference}
}

// placedImage is a Finding with its parsed reference and its origin.
type placedImage struct {
	Finding
	parts  Parts
	origin Origin
}

// Found collects the images that the stages of reading a chart find.
type Found struct {
	rendered []placedImage
	// deployed has the references that the chart renders as it is deployed.
	deployed map[foundAt]bool
	values   []placedImage
	// Joined has errors about places where the registry and the name are not joined by a slash.
	Joined []error
}

func judge(f Finding, registry string) (placedImage, error) {
	image := placedImage{Finding: f, origin: OriginForeign}
	if registry != "" {
		if rest, joined := joinedAt(f.reference); joined {
			if rest == "" || strings.ContainsAny(rest[:1], ":@") {
				return image, fmt.Errorf("%w: %q: registryValuesPaths names a value that the chart takes for a whole repository, and not for a registry", ErrImage, Clip(Readable(f.reference), MaxName))
			}
			image.reference = registry + "/" + rest
		}
	}
	parts, err := ParseImage(image.reference)
	if err != nil && image.reference != f.reference {
		err = fmt.Errorf("%w: %q: the chart makes another host of the value of registryValuesPaths", ErrImage, Clip(Readable(f.reference), MaxName))
	}
	if !f.guessed {
		parts = parts.latest()
	}
	image.parts = parts
	if registry != "" && parts.Host == registry {
		image.origin = OriginOurs
	}
	return image, err
}

// Need adds the references that the chart renders as it is deployed. A reference that cannot be parsed is kept, and
// reported as an error. In a file that fails it is ignored, because the missing part may be a value that is required.
func (c *Found) Need(found []Finding, registry string, failed map[string]error) (problems []error) {
	c.deployed = map[foundAt]bool{}
	for _, f := range found {
		f.source.Why = WhyDeployed
		if isTest(f.source.Hook) {
			f.source.Why = WhyTest
		}
		image, err := judge(f, registry)
		switch {
		case err != nil && (f.guessed || failed[f.source.Template] != nil || f.source.Why == WhyTest):
			continue
		case err != nil:
			problems = append(problems, atPlace(f, err))
			image.parts = Parts{}
		case image.reference != f.reference:
			c.Joined = append(c.Joined, atPlace(f, errors.New("the chart joins the value of registryValuesPaths and the name "+
				strings.TrimPrefix(image.reference, registry+"/")+" without a slash, so that the value must end with one")))
		}
		c.deployed[f.at()] = true
		c.rendered = append(c.rendered, image)
	}
	return problems
}

// AddOptional adds the references that the chart renders with all its dependencies.
func (c *Found) AddOptional(found []Finding, registry string, failed map[string]error) (problems []error) {
	for _, f := range found {
		f.source.Why = WhyDependency
		image, err := judge(f, registry)
		switch {
		case c.deployed[f.at()], err != nil && (f.guessed || failed[f.source.Template] != nil):
		case err != nil:
			problems = append(problems, atPlace(f, err))
		default:
			c.rendered = append(c.rendered, image)
		}
	}
	return problems
}

func atPlace(f Finding, err error) error {
	return fmt.Errorf("in %s, %s %s: %w", f.source.Template, f.source.Kind, f.source.Name, err)
}

// AddValues adds the references in values.
func (c *Found) AddValues(found []Finding) {
	for _, f := range found {
		f.source.Why = WhyValues
		if image, err := judge(f, Registry); err == nil { // otherwise it only looked like an image
			c.values = append(c.values, image)
		}
	}
}

// List merges the references into images. A reference in values
// becomes a source of the images in templates for which it may stand.
func (c *Found) List() ([]Image, error) {
	var err error
	if n := len(c.rendered) + len(c.values); n > MaxSources {
		err = fmt.Errorf("%w: it names images at %d places, at most %d are read", render.ErrTooLarge, n, MaxSources)
		c.rendered = c.rendered[:min(len(c.rendered), MaxSources)]
		c.values = c.values[:min(len(c.values), MaxSources-len(c.rendered))]
	}
	var l imageList
	var anyVersion []placedImage
	for _, p := range c.rendered {
		if p.source.Text && p.parts.Tag == "" && p.parts.Digest == "" {
			anyVersion = append(anyVersion, p)
			continue
		}
		l.put(p)
	}
	l.merge(anyVersion, true)
	l.merge(c.values, false)
	return l.sorted(), err
}

// merge adds references, each of which may stand for one or several of the images in the list. With paths, a reference
// is left out if it is a path to images in the list.
func (l *imageList) merge(images []placedImage, paths bool) {
	there := len(l.images)
	for _, p := range images {
		named := false
		for i := range there {
			if p.parts.covers(l.parts[i]) {
				l.name(i, p)
				named = true
			}
			named = named || paths && p.parts.Host == l.parts[i].Host && strings.HasPrefix(l.parts[i].Repository, p.parts.Repository+"/")
		}
		if !named {
			l.put(p)
		}
	}
}

// imageIdentity is equal for two references to the same image.
type imageIdentity struct {
	raw    string // the reference, if it cannot be parsed
	parts  Parts
	origin Origin
}

type imageList struct {
	images  []Image
	parts   []Parts // the parts of each image
	at      map[imageIdentity]int
	sources int
}

func (l *imageList) put(p placedImage) {
	id := imageIdentity{parts: p.parts, origin: p.origin}
	if p.parts == (Parts{}) {
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
			Reference: Clip(p.reference, MaxReference), Origin: p.origin, Why: p.source.Why,
			Host: p.parts.Host, Repository: p.parts.Repository, Tag: p.parts.Tag, Digest: p.parts.Digest,
		})
	}
	l.name(i, p)
}

// name adds a source to an image. Each image has at least one source, with the reason of the highest priority.
func (l *imageList) name(i int, p placedImage) {
	image := &l.images[i]
	more := p.source.Why.rank() < image.Why.rank()
	if more {
		image.Why = p.source.Why
	}
	if l.sources++; l.sources <= MaxSources || len(image.Sources) == 0 {
		image.Sources = append(image.Sources, p.source)
	} else if more {
		image.Sources[0] = p.source
	}
}

func (l *imageList) sorted() []Image {
	for i := range l.images {
		image := &l.images[i]
		slices.SortFunc(image.Sources, func(a, b Source) int {
			return cmp.Or(cmp.Compare(a.Why.rank(), b.Why.rank()), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Kind, b.Kind),
				cmp.Compare(a.Name, b.Name), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Values, b.Values))
		})
		image.Sources = slices.Compact(image.Sources) // a text can contain a reference twice
	}
	slices.SortFunc(l.images, func(a, b Image) int {
		return cmp.Or(cmp.Compare(a.Reference, b.Reference), cmp.Compare(a.Origin, b.Origin))
	})
	return l.images
}
