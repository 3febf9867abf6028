package chart

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// imageParts are the parts of an image reference.
type imageParts struct{ host, repository, tag, digest string }

// parseImage parses a reference as container runtimes do.
func parseImage(s string) (imageParts, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return imageParts{}, fmt.Errorf("%w: %q: %w", ErrImage, clip(Readable(s), maxChartString), err)
	}
	p := imageParts{host: strings.ToLower(reference.Domain(named)), repository: reference.Path(named)}
	if t, ok := named.(reference.Tagged); ok {
		p.tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		p.digest = d.Digest().String()
	}
	return p, nil
}

// latest is the tag that runtimes assume where a reference names neither tag nor digest.
func (p imageParts) latest() imageParts {
	if p.tag == "" && p.digest == "" {
		p.tag = "latest"
	}
	return p
}

// covers reports whether q may be what p, found in values, stands for: values may leave out the host
// and the tag.
func (p imageParts) covers(q imageParts) bool {
	short := func(repository string) string { return strings.TrimPrefix(repository, "library/") }
	return short(p.repository) == short(q.repository) && (p.tag == "" || p.tag == q.tag) && (p.digest == "" || p.digest == q.digest)
}

// namesHost reports whether a reference begins with a host.
func namesHost(s string) bool {
	first, _, ok := strings.Cut(s, "/")
	return ok && (strings.ContainsAny(first, ".:") || first == "localhost")
}
