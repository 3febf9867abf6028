package storage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// site is a registry on its own volume.
type site struct {
	t      *testing.T
	url    string
	volume *volume.Volume
	driver *storage.Driver
}

func newSite(t *testing.T) site {
	t.Helper()
	v, err := volume.Open(t.TempDir(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return siteOn(t, v, storage.Options{Volume: v})
}

func siteOn(t *testing.T, v *volume.Volume, o storage.Options) site {
	t.Helper()
	logrus.SetOutput(io.Discard)
	d := storage.New(o)
	config := &configuration.Configuration{}
	config.HTTP.Secret = "test"
	config.Catalog.MaxEntries = 1000
	d.Configure(config)
	return serve(t, site{t: t, volume: v, driver: d}, config)
}

func serve(t *testing.T, s site, config *configuration.Configuration) site {
	t.Helper()
	app := handlers.NewApp(t.Context(), config)
	server := httptest.NewServer(app)
	t.Cleanup(func() { server.Close(); _ = app.Shutdown() })
	s.url = server.URL + "/v2/"
	return s
}

// do sends a request and returns the status and the body.
func (s site) do(method, path string, body []byte, header ...string) (int, string) {
	s.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = s.url + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header["Accept"] = []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	if res.StatusCode == http.StatusAccepted && method == http.MethodPost {
		return res.StatusCode, res.Header.Get("Location")
	}
	return res.StatusCode, string(got)
}

func (s site) want(status int, method, path string, body []byte, header ...string) string {
	s.t.Helper()
	got, text := s.do(method, path, body, header...)
	if got != status {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, text)
	}
	return text
}

// upload pushes content like a client that skips present content.
func (s site) upload(repository string, content []byte) ocispec.Descriptor {
	s.t.Helper()
	d := digest.FromBytes(content)
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
	if status, _ := s.do(http.MethodHead, repository+"/blobs/"+d.String(), nil); status == http.StatusOK {
		return desc
	}
	s.send(repository, content, d)
	return desc
}

func (s site) send(repository string, content []byte, d digest.Digest) {
	s.t.Helper()
	to := s.want(http.StatusAccepted, http.MethodPost, repository+"/blobs/uploads/", nil)
	s.want(http.StatusCreated, http.MethodPut, to+"&digest="+d.String(), content, "Content-Type", "application/octet-stream")
}

func encode(v any) []byte {
	content, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return content
}

func imageOf(config ocispec.Descriptor, layers ...ocispec.Descriptor) []byte {
	config.MediaType = ocispec.MediaTypeImageConfig
	return encode(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers})
}

func (s site) put(status int, repository, reference string, manifest []byte) ocispec.Descriptor {
	s.t.Helper()
	var typed struct{ MediaType string }
	if err := json.Unmarshal(manifest, &typed); err != nil {
		s.t.Fatal(err)
	}
	s.want(status, http.MethodPut, repository+"/manifests/"+reference, manifest, "Content-Type", typed.MediaType)
	return ocispec.Descriptor{MediaType: typed.MediaType, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
}

// image pushes an image with the given number of layers.
func (s site) image(repository, tag string, layers int) ([]byte, []ocispec.Descriptor) {
	s.t.Helper()
	config := s.upload(repository, []byte(`{"of":"`+repository+tag+`"}`))
	parts := []ocispec.Descriptor{config}
	for i := range layers {
		layer := s.upload(repository, bytes.Repeat([]byte(fmt.Sprintf("%s:%s layer %d;", repository, tag, i)), 5000))
		parts = append(parts, layer)
	}
	manifest := imageOf(parts[0], parts[1:]...)
	s.put(http.StatusCreated, repository, tag, manifest)
	return manifest, parts
}

// file returns the file name of a path of the volume.
func (s site) file(path string) string { return filepath.Join(s.volume.Root(), path) }

func (s site) status(method, path string) int {
	s.t.Helper()
	status, _ := s.do(method, path, nil)
	return status
}

func (s site) age(path string, by time.Duration) {
	s.t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(s.file(path), then, then); err != nil {
		s.t.Fatal(err)
	}
}

// distribution returns plain distribution on the same volume.
func distribution(t *testing.T, v *volume.Volume) site {
	t.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": v.Root()}, "delete": {"enabled": true}, "redirect": {"disable": true},
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = "test"
	return serve(t, site{t: t, volume: v}, config)
}

func TestTheLayoutIsDistributions(t *testing.T) {
	s := newSite(t)
	plain := distribution(t, s.volume)
	manifest, parts := s.image("a/b", "1", 2)
	if got := plain.want(http.StatusOK, http.MethodGet, "a/b/manifests/1", nil); got != string(manifest) {
		t.Error("distribution reads another manifest:", got)
	}
	for _, p := range parts {
		plain.want(http.StatusOK, http.MethodGet, "a/b/blobs/"+p.Digest.String(), nil)
	}
	other, otherParts := plain.image("c", "2", 1)
	if got := s.want(http.StatusOK, http.MethodGet, "c/manifests/2", nil); got != string(other) {
		t.Error("what distribution wrote is read differently:", got)
	}
	for _, path := range []string{
		layout.BlobPath(otherParts[1].Digest), layout.LayerPath("c", otherParts[1].Digest),
		layout.RevisionPath("c", digest.FromBytes(other)), layout.TagPath("c", "2"),
	} {
		if _, err := os.Stat(s.file(path)); err != nil {
			t.Error("distribution keeps it elsewhere:", err)
		}
	}
}

func TestPathsOfAnotherAlgorithm(t *testing.T) {
	s := newSite(t)
	content := []byte("by a longer digest")
	s.send("a", content, digest.SHA512.FromBytes(content))
	s.want(http.StatusOK, http.MethodGet, "a/blobs/"+digest.SHA512.FromBytes(content).String(), nil)
	layer := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.SHA512.FromBytes(content), Size: int64(len(content))}
	config := s.upload("a", []byte("{}"))
	s.put(http.StatusCreated, "a", "1", imageOf(config, layer))
	s.want(http.StatusOK, http.MethodGet, "a/manifests/1", nil)
}
