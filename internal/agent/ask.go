package agent

import (
	"errors"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/rewrite"
)

// The two kinds of objects in a pull.
const (
	manifests = "manifests"
	blobs     = "blobs"
)

// maxPath is the maximum length of a path, in bytes. It has room
// for a repository, a tag or digest, and the rest of the path.
const maxPath = 1 << 10

var (
	errPath = errors.New("this is neither a manifest nor a blob of an image that can be mirrored")
	errNS   = errors.New("the query ns is not the host of a registry")
)

// ask is a request for a manifest or a blob.
type ask struct {
	method string
	image  rewrite.Image
	// kind is manifests or blobs.
	kind string
	// reference is a tag or a digest. digest is "" for a tag.
	reference string
	digest    digest.Digest
}

// read parses a request. The path is /v2/<host>_<port>/<repository>/<kind>/<reference>;
// with the query ns it may begin after the host.
func read(r *http.Request) (ask, error) {
	rest, found := strings.CutPrefix(r.URL.Path, "/v2/")
	if !found || len(r.URL.Path) > maxPath {
		return ask{}, errPath
	}
	a := ask{method: r.Method}
	var name string
	for _, kind := range []string{manifests, blobs} {
		// A segment of a repository may have this name, but a reference has no slash.
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

// origin returns the host and the repository for the name in a path. With ns, the name
// may begin with the host, as in the files of package nodefiles, or not.
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

// of sets the image and its digest. It fails unless the parser of image references finds exactly these parts.
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

// what returns the end of the path.
func (a ask) what() string { return a.kind + "/" + a.reference }
