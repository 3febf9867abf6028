package images

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// Parts are the parts of an image reference.
type Parts struct{ Host, Repository, Tag, Digest string }

// ParseImage parses a reference as container runtimes do.
func ParseImage(s string) (Parts, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Parts{}, fmt.Errorf("%w: %q: %w", ErrImage, Clip(Readable(s), MaxName), err)
	}
	p := Parts{Host: strings.ToLower(reference.Domain(named)), Repository: reference.Path(named)}
	if t, ok := named.(reference.Tagged); ok {
		p.Tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		p.Digest = d.Digest().String()
	}
	return p, nil
}

// latest returns p with the tag latest if it has neither tag nor digest, as runtimes assume.
func (p Parts) latest() Parts {
	if p.Tag == "" && p.Digest == "" {
		p.Tag = "latest"
	}
	return p
}

// covers reports whether p, a reference in values, may stand for
// q: references in values may leave out the host and the tag.
func (p Parts) covers(q Parts) bool {
	short := func(repository string) string { return strings.TrimPrefix(repository, "library/") }
	sameVersion := (p.Tag == "" || p.Tag == q.Tag) && (p.Digest == "" || p.Digest == q.Digest)
	sameDigest := p.Digest != "" && p.Digest == q.Digest // runtimes ignore the tag then
	return short(p.Repository) == short(q.Repository) && (sameVersion || sameDigest)
}

// namesHost reports whether a reference begins with a host.
func namesHost(s string) bool {
	first, _, ok := strings.Cut(s, "/")
	return ok && (strings.ContainsAny(first, ".:") || first == "localhost")
}
