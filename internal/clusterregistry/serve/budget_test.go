package serve_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
)

// plant writes a manifest, its revision and its tag into the volume, as another program's push would.
func (s site) plant(tag string, content []byte) ocispec.Descriptor {
	s.t.Helper()
	d := digest.FromBytes(content)
	check(s.t, s.volume.Write(layout.BlobPath(d), content, true))
	check(s.t, s.volume.Write(layout.RevisionPath("r", d), []byte(d), true))
	if tag != "" {
		check(s.t, s.volume.Write(layout.TagPath("r", tag), []byte(d), true))
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(content))}
}

// A presence check that costs too much must be given up. Its request must be
// refused and not answered with 404, and other requests must not be affected.
func TestR1ALookThatCostsTooMuchSaysSo(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	config, _, _ := s.upload([]byte("{}"))
	_, small := s.put("small", ocispec.Manifest{Config: config})
	image := func(fill string, layers ...ocispec.Descriptor) []byte {
		content, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: config, Layers: layers, Annotations: map[string]string{"fill": fill}})
		check(t, err)
		return content
	}
	index := func(children ...ocispec.Descriptor) []byte {
		content, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
		check(t, err)
		return content
	}
	fill := strings.Repeat("x", 4<<20-4096)
	var large []ocispec.Descriptor
	for i := range 66 { // more than 256 MiB
		large = append(large, s.plant("", image(fill+strings.Repeat("y", i))))
	}
	s.plant("bytes", index(large...))
	// Each index has the next one as its last child, which is checked first, so the other children need not exist.
	chain := small
	for i := range 3 {
		var children []ocispec.Descriptor
		for j := range 9_999 {
			children = append(children, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i, j)), Size: 1})
		}
		chain = s.plant("files", index(append(children, chain)...))
	}

	for _, tt := range []struct{ reason, method, tag, says string }{
		{"a pull reads hundreds of MiB of manifests", http.MethodGet, "bytes", "256 MiB of manifests"},
		{"so does a look", http.MethodHead, "bytes", ""},
		{"a pull goes through 30,000 files", http.MethodGet, "files", "more than 20000 blobs and manifests"},
		{"a push of an index over them", http.MethodPut, "again", "256 MiB of manifests"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			var body []byte
			if tt.method == http.MethodPut {
				body = index(large[:40]...) // checked one by one, and then together
			}
			res, text := s.ask(tt.method, "/v2/r/manifests/"+tt.tag, body, ocispec.MediaTypeImageIndex)
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(text, tt.says) {
				t.Errorf("%s %.300s", res.Status, text)
			}
		})
	}
	if res, text := s.ask(http.MethodGet, "/v2/r/manifests/small", nil, ""); res.StatusCode != http.StatusOK {
		t.Error("another manifest:", res.Status, text)
	}
	// A part of an index that is too large must still be usable.
	if res, text := s.ask(http.MethodGet, "/v2/r/manifests/"+large[0].Digest.String(), nil, ""); res.StatusCode != http.StatusOK {
		t.Errorf("a child: %s %.300s", res.Status, text)
	}
}
