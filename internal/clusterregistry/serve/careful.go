package serve

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

var repositoryRoute = regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs|tags|referrers)/`)

// careful handles requests that distribution would spend too much on, or answer with 500.
func careful(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		// Distribution parses a form body, up to 32 MiB in memory, before it
		// authenticates the client. The parameters that it needs are in the query.
		if isForm(req.Header.Get("Content-Type")) {
			req.Header.Del("Content-Type")
		}
		route := repositoryRoute.FindStringSubmatch(req.URL.Path)
		if route != nil && len(route[1]) > reference.RepositoryNameTotalLengthMax {
			fail(w, http.StatusBadRequest, "NAME_INVALID", fmt.Sprintf("the name of the repository has %d characters, and may have %d", len(route[1]), reference.RepositoryNameTotalLengthMax))
			return
		}
		next.ServeHTTP(w, req)
	})
}

func isForm(contentType string) bool {
	kind := strings.ToLower(strings.TrimSpace(contentType))
	return strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "application/x-www-form-urlencoded")
}
