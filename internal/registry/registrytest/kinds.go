package registrytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
)

// RefuseTagDelete simulates a registry that cannot delete tags, such as distribution
// 2.8: it deletes digests, and takes a tag in a DELETE for an invalid digest.
func (r *Registry) RefuseTagDelete() {
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if !deletesTag(req) {
			return false
		}
		Fail(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
		return true
	})
}

// TagDeleteTakesDigest simulates a registry that takes DELETE of
// a tag for DELETE of its digest, which deletes all tags on it.
func (r *Registry) TagDeleteTakesDigest() {
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if !deletesTag(req) {
			return false
		}
		r.DeleteDigestOf(w, req)
		return true
	})
}

// DeleteDigestOf answers a request for a tag as if the request were for the tag's digest.
func (r *Registry) DeleteDigestOf(w http.ResponseWriter, req *http.Request) {
	look := req.Clone(req.Context())
	look.Method = http.MethodHead
	look.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
	seen := httptest.NewRecorder()
	r.App.ServeHTTP(seen, look)
	d := seen.Header().Get("Docker-Content-Digest")
	if d == "" {
		Fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	byDigest := req.Clone(req.Context())
	byDigest.URL.Path = req.URL.Path[:strings.LastIndex(req.URL.Path, "/")+1] + d
	byDigest.RequestURI = byDigest.URL.Path
	r.App.ServeHTTP(w, byDigest)
}

// Fail answers with an error document of the distribution API.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// deletesTag reports whether a request deletes a tag. A digest contains a colon, a tag does not.
func deletesTag(req *http.Request) bool {
	reference := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
	return req.Method == http.MethodDelete && strings.Contains(req.URL.Path, "/manifests/") && !strings.Contains(reference, ":")
}
