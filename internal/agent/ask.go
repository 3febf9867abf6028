package agent

import (
	"errors"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/rewrite"
)

// The two things that a pull reads.
const (
	manifests = "manifests"
	blobs     = "blobs"
)

// maxPath is the longest path, in bytes, that is read: a repository's name, a tag or digest, and what is around them.
const maxPath = 1 << 10

var (
	errPath = errors.New("this is neither a manifest nor a blob of an image that can be mirrored")
	errNS   = errors.New("the query ns is not the host of a registry")
)

// ask is what a request reads.
type ask struct {
	method string
	image  rewrite.Image
	// kind is manifests or blobs.
	kind string
	// reference is a tag or a digest, and digest is set for the latter.
	reference string
	digest    digest.Digest
}

// read says what a request asks for: the path is /v2/<host>_<port>/<repository>/<kind>/<reference>, or with ns begins
// after the host.
func read(r *http.Request) (ask, error) {
	rest, found := strings.CutPrefix(r.URL.Path, "/v2/")
	if !found || len(r.URL.Path) > maxPath {
		return ask{}, errPath
	}
	a := ask{method: r.Method}
	var name string
	for _, kind := range []string{manifests, blobs} {
		// A repository may have a segment of that name, the reference may not.
		if at := strings.LastIndex(rest, "/"+kind+"/"); at > 0 {
			name, a.kind, a.reference = rest[:at], kind, rest[at+len(kind)+2:]
		}
	}
	if a.kind == "" || strings.Contains(a.reference, "/") {
		return ask{}, errPath
	}
	host, repository, err := origin(name, r.URL.Query().Get("ns"))
	if err != nil {
		return ask{}, err
	}
	return a, a.of(host, repository)
}

// origin is the host and the repository of a name in a path. With ns the name may have the host before it, as in the
// files that nodefiles writes, or not.
func origin(name, ns string) (host, repository string, err error) {
	segment, rest, _ := strings.Cut(name, "/")
	host = rewrite.Source(segment)
	if ns == "" || strings.EqualFold(ns, host) {
		return host, rest, nil
	}
	if strings.ContainsAny(ns, "/_@ ") {
		return "", "", errNS
	}
	return ns, name, nil
}

// of checks the parts of the image: it must be what a reference with these parts is read as.
func (a *ask) of(host, repository string) error {
	separator := ":"
	if d := digest.Digest(a.reference); d.Validate() == nil {
		separator, a.digest = "@", d
	} else if a.kind == blobs {
		return errPath
	}
	image, err := rewrite.Parse(host + "/" + repository + separator + a.reference)
	if err != nil || repository == "" || !strings.EqualFold(image.Host, host) || image.Repository != repository {
		return errPath
	}
	a.image = image
	return nil
}

// what is the end of the path.
func (a ask) what() string { return a.kind + "/" + a.reference }
