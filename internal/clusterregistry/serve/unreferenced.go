package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
)

// unreferencedPage is the maximum number of manifests in a page.
const unreferencedPage = 1000

// UnreferencedPage is one page of the list of manifests that nothing in the registry references.
type UnreferencedPage struct {
	Manifests []mark.Revision `json:"manifests"`
	// Next is the value of the parameter after for the next page, or
	// empty on the last page. A page that is not the last may be empty.
	Next string `json:"next,omitempty"`
}

// listUnreferenced answers with the manifests below the parameter prefix that no tag,
// index or kept subject reaches, and that were not pushed within the grace period. The
// registry does not know whether a workload or an object of the cluster needs them.
func (r *Registry) listUnreferenced(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	prefix, most := query.Get("prefix"), unreferencedPage
	if (prefix != "" || !operatorOf(req).Everything) && !r.mayClean(w, req, prefix) {
		return
	}
	if n := query.Get("n"); n != "" {
		asked, err := strconv.Atoi(n)
		if err != nil || asked < 1 {
			fail(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n must be a number above 0")
			return
		}
		most = min(asked, most)
	}
	found, next, err := r.unreferenced.List(req.Context(), prefix, query.Get("after"), most)
	if err != nil {
		r.o.Log.Error("could not list the manifests that nothing references", "prefix", prefix, "error", err)
		fail(w, http.StatusInternalServerError, "UNKNOWN", "the volume could not be read")
		return
	}
	if found == nil {
		found = []mark.Revision{}
	}
	answer(w, http.StatusOK, "application/json", UnreferencedPage{Manifests: found, Next: next})
}

// deleteUnreferenced requests that the next collection deletes a manifest that nothing in the registry references.
func (r *Registry) deleteUnreferenced(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	repository, d := query.Get("repository"), digest.Digest(query.Get("digest"))
	if !r.mayClean(w, req, repository) {
		return
	}
	if d.Validate() != nil {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("%.100q is not a valid digest", d))
		return
	}
	switch err := r.unreferenced.Delete(repository, d); {
	case err == nil:
		answer(w, http.StatusAccepted, "application/json", struct{}{})
	case errors.Is(err, fs.ErrNotExist):
		fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "the repository has no such manifest")
	case errors.Is(err, mark.ErrYoung):
		fail(w, http.StatusConflict, "DENIED", "the manifest was pushed within the registry's grace period")
	default:
		r.o.Log.Error("could not ask for a deletion", "repository", repository, "digest", d, "error", err)
		fail(w, http.StatusInternalServerError, "UNKNOWN", "the volume could not be written")
	}
}

// mayClean reports whether the client may list and delete the manifests of a
// repository, or those below a prefix. If not, it has answered the request.
func (r *Registry) mayClean(w http.ResponseWriter, req *http.Request, repository string) bool {
	if _, err := reference.WithName(repository); err != nil {
		fail(w, http.StatusBadRequest, "NAME_INVALID", fmt.Sprintf("%.100q cannot be the name of a repository", repository))
		return false
	}
	if !operatorOf(req).May(repository) {
		fail(w, http.StatusForbidden, "DENIED", "the repository is not one of the store's, or the store is not ready: kubectl describe artifactstore says why")
		return false
	}
	return true
}
