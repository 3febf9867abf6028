package serve

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/distribution/distribution/v3/registry/auth"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pageSize is how many referrers are read for a page. A page that is filtered by artifact type can have fewer.
const pageSize = 100

var referrersRoute = regexp.MustCompile(`^/v2/(.+)/referrers/([^/]+)$`)

// referrers answers GET /v2/<name>/referrers/<digest>, which distribution does not serve.
func (r *Registry) referrers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		route := referrersRoute.FindStringSubmatch(req.URL.Path)
		if route == nil {
			next.ServeHTTP(w, req)
			return
		}
		// A path can contain dots, escaped or not, that lead to the files of another repository.
		if _, err := reference.WithName(route[1]); err != nil {
			fail(w, http.StatusBadRequest, "NAME_INVALID", fmt.Sprintf("%.100q cannot be the name of a repository", route[1]))
			return
		}
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the list of referrers can be read only")
			return
		}
		if r.may(w, req, auth.Access{Resource: auth.Resource{Type: "repository", Name: route[1]}, Action: "pull"}) {
			r.listReferrers(w, req, route[1], digest.Digest(route[2]))
		}
	})
}

func (r *Registry) listReferrers(w http.ResponseWriter, req *http.Request, repository string, subject digest.Digest) {
	if err := subject.Validate(); err != nil {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("%.100q is not a valid digest", subject))
		return
	}
	query := req.URL.Query()
	list, next, err := r.driver.Referrers(req.Context(), repository, subject, digest.Digest(query.Get("last")), pageSize)
	if err != nil {
		r.o.Log.Error("could not list referrers", "repository", repository, "subject", subject, "error", err)
		fail(w, http.StatusInternalServerError, "UNKNOWN", "the volume could not be read")
		return
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	wanted := query.Get("artifactType")
	for _, d := range list {
		if wanted == "" || d.ArtifactType == wanted {
			index.Manifests = append(index.Manifests, d)
		}
	}
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if next != "" {
		link := url.URL{Path: req.URL.Path, RawQuery: url.Values{"last": {string(next)}, "artifactType": {wanted}, "n": {strconv.Itoa(pageSize)}}.Encode()}
		w.Header().Set("Link", fmt.Sprintf("<%s>; rel=\"next\"", link.String()))
	}
	answer(w, http.StatusOK, ocispec.MediaTypeImageIndex, index)
}

// subjects adds the header OCI-Subject to the answer to a push of a
// manifest with a subject: the list of referrers has the manifest.
func (r *Registry) subjects(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut {
			w = &subjectWriter{ResponseWriter: w, subject: r.driver.Subject}
		}
		next.ServeHTTP(w, req)
	})
}

type subjectWriter struct {
	http.ResponseWriter
	subject func(digest.Digest) digest.Digest
}

func (w *subjectWriter) WriteHeader(status int) {
	if pushed := w.Header().Get("Docker-Content-Digest"); status == http.StatusCreated && pushed != "" {
		if s := w.subject(digest.Digest(pushed)); s != "" {
			w.Header().Set("OCI-Subject", string(s))
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap implements the interface that http.ResponseController uses.
func (w *subjectWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
