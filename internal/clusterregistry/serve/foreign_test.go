package serve_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // registers itself
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
)

// A registry on a storage driver of distribution must push, pull and delete, and say what it cannot do.
func TestOtherStorageIsPassedThrough(t *testing.T) {
	storage := configuration.Storage{"filesystem": {"rootdirectory": t.TempDir()}, "cache": {"blobdescriptor": "inmemory"}}
	r, err := serve.New(t.Context(), serve.Options{Storage: storage})
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	server := httptest.NewServer(r.Handler())
	t.Cleanup(func() { server.Close(); stop(); check(t, <-ended); check(t, r.Close()) })
	s := site{t: t, url: server.URL, Registry: r}

	config, status, text := s.upload([]byte("{}"))
	if status != http.StatusCreated {
		t.Fatal(status, text)
	}
	_, d := s.put("1", ocispec.Manifest{Config: config})
	for _, tt := range []struct {
		reason, method, path string
		want                 int
		says                 string
	}{
		{"a pull", http.MethodGet, "/v2/r/manifests/1", http.StatusOK, config.Digest.String()},
		{"a layer", http.MethodGet, "/v2/r/blobs/" + config.Digest.String(), http.StatusOK, "{}"},
		{"a deletion", http.MethodDelete, "/v2/r/manifests/" + d.Digest.String(), http.StatusAccepted, ""},
		{"clients use a tag in place of the list", http.MethodGet, "/v2/r/referrers/" + d.Digest.String(), http.StatusNotFound, ""},
		{"how full it is", http.MethodGet, "/nfo/v1/usage", http.StatusNotImplemented, "UNSUPPORTED"},
		{"a collection", http.MethodPost, "/nfo/v1/collection", http.StatusNotImplemented, "freed by the means of that storage"},
		{"the last collection", http.MethodGet, "/nfo/v1/collection", http.StatusNotImplemented, "cannot collect"},
	} {
		if res, text := s.ask(tt.method, tt.path, nil, ""); res.StatusCode != tt.want || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %s %s", tt.reason, res.Status, text)
		}
	}
	for end := time.Now().Add(10 * time.Second); s.Ready(nil) != nil; {
		if time.Now().After(end) {
			t.Fatal(s.Ready(nil))
		}
	}
	metrics := prometheus.NewPedanticRegistry()
	metrics.MustRegister(s.Registry)
	if _, err := metrics.Gather(); err != nil {
		t.Error(err)
	}
}

func TestOtherStorageThatCannotBeReached(t *testing.T) {
	if _, err := serve.New(t.Context(), serve.Options{Storage: configuration.Storage{"s3": {}}}); err == nil || !strings.Contains(err.Error(), "built with the tag s3") {
		t.Error(err)
	}
	root := filepath.Join(t.TempDir(), "file")
	s := configuration.Storage{"filesystem": {"rootdirectory": root, "maxthreads": "no number"}}
	if _, err := serve.New(t.Context(), serve.Options{Storage: s}); err == nil || !strings.Contains(err.Error(), "setting up the storage driver filesystem") {
		t.Error(err)
	}
}
