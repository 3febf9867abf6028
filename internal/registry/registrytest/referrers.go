package registrytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
)

// ServeReferrers adds the referrers API, which distribution does not have, for manifests that are pushed from now on.
// Spec: OCI distribution-spec, "Listing Referrers" and "Pushing Manifests with Subject".
func (r *Registry) ServeReferrers() {
	var mu sync.Mutex
	lists := map[string][]ocispec.Descriptor{} // by the path of the API for the subject
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		repository, reference, isManifest := strings.Cut(req.URL.Path, "/manifests/")
		switch {
		case req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/referrers/"):
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			_ = json.NewEncoder(w).Encode(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: append([]ocispec.Descriptor{}, lists[req.URL.Path]...)})
			return true
		case req.Method != http.MethodPut || !isManifest || reference == "":
			return false
		}
		data, err := io.ReadAll(io.LimitReader(req.Body, registry.MaxManifestBytes))
		if err != nil {
			Fail(w, http.StatusBadRequest, "MANIFEST_INVALID", err.Error())
			return true
		}
		req.Body = io.NopCloser(bytes.NewReader(data))
		if m, err := registry.ParseManifest(req.Header.Get("Content-Type"), data); err == nil && m.Subject != nil {
			at := repository + "/referrers/" + m.Subject.Digest.String()
			lists[at] = append(lists[at], m.Descriptor)
			w.Header().Set("OCI-Subject", m.Subject.Digest.String())
		}
		return false
	})
}
