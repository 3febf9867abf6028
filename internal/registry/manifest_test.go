package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

const one = `{"mediaType":"x/y","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":1}`

func TestI2ParseManifest(t *testing.T) {
	t.Parallel()
	// n is what is found: children, blobs, subjects. nil means ErrUnreadable.
	rows := map[string]struct {
		reason, contentType, body string
		n                         []int
	}{
		"OCI image":            {"", ocispec.MediaTypeImageManifest, `{"config":` + one + `,"layers":[` + one + `]}`, []int{0, 2, 0}},
		"OCI image, type said": {"", ocispec.MediaTypeImageManifest + "; charset=utf-8", `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":` + one + `,"layers":null,"subject":` + one + `}`, []int{0, 1, 1}},
		"OCI index":            {"", ocispec.MediaTypeImageIndex, `{"manifests":[` + one + `,` + one + `],"subject":` + one + `}`, []int{2, 0, 1}},
		"empty index":          {"an index may be empty", ocispec.MediaTypeImageIndex, `{"manifests":[]}`, []int{0, 0, 0}},
		"docker image":         {"", oci.MediaTypeDockerManifest, `{"mediaType":"` + oci.MediaTypeDockerManifest + `","config":` + one + `,"layers":[` + one + `]}`, []int{0, 2, 0}},
		"docker list":          {"", oci.MediaTypeDockerManifestList, `{"manifests":[` + one + `]}`, []int{1, 0, 0}},
		"OCI artifact":         {"old, and found", oci.MediaTypeArtifactManifest, `{"blobs":[` + one + `],"subject":` + one + `}`, []int{0, 1, 1}},
		"type in body only":    {"not every registry says it", "", `{"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[` + one + `]}`, []int{1, 0, 0}},

		"no type":             {"nothing says what it is", "", `{"manifests":[` + one + `]}`, nil},
		"unknown type":        {"it may name anything", "application/vnd.example+json", `{"manifests":[` + one + `]}`, nil},
		"docker schema 1":     {"it has no digests to follow", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"fsLayers":[]}`, nil},
		"bad type":            {"it is not a media type", ";;", `{"manifests":[]}`, nil},
		"types differ":        {"one of them is wrong", ocispec.MediaTypeImageManifest, `{"mediaType":"` + ocispec.MediaTypeImageIndex + `","config":` + one + `}`, nil},
		"index as image":      {"its children would be missed", ocispec.MediaTypeImageManifest, `{"manifests":[` + one + `]}`, nil},
		"image as index":      {"it is ambiguous", ocispec.MediaTypeImageIndex, `{"config":` + one + `,"layers":[]}`, nil},
		"manifests, layers":   {"two readers would see two things", ocispec.MediaTypeImageIndex, `{"manifests":[` + one + `],"layers":[` + one + `]}`, nil},
		"image and manifests": {"so here", ocispec.MediaTypeImageManifest, `{"config":` + one + `,"layers":[],"manifests":[` + one + `]}`, nil},
		"artifact and layers": {"and here", oci.MediaTypeArtifactManifest, `{"blobs":[],"layers":[` + one + `]}`, nil},
		"null children":       {"nothing is not an empty list", ocispec.MediaTypeImageIndex, `{"manifests":null}`, nil},
		"empty object":        {"it says nothing", ocispec.MediaTypeImageManifest, `{}`, nil},
		"child, no digest":    {"the child cannot be kept", ocispec.MediaTypeImageIndex, `{"manifests":[{"size":1}]}`, nil},
		"child, bad digest":   {"nor this one", ocispec.MediaTypeImageIndex, `{"manifests":[{"digest":"sha256:12"}]}`, nil},
		"bad subject":         {"whose is it?", ocispec.MediaTypeImageManifest, `{"config":` + one + `,"subject":{"digest":"md5:1"}}`, nil},
		"cut":                 {"the rest may name more", ocispec.MediaTypeImageIndex, `{"manifests":[` + one, nil},
		"trailing":            {"so may what follows", ocispec.MediaTypeImageIndex, `{"manifests":[]}{"manifests":[` + one + `]}`, nil},
		"wrong shape":         {"it is not a list", ocispec.MediaTypeImageIndex, `{"manifests":"x"}`, nil},
		"empty":               {"there is nothing", ocispec.MediaTypeImageManifest, ``, nil},
		"a page":              {"no JSON", ocispec.MediaTypeImageManifest, `<html></html>`, nil},
	}
	for name, row := range rows {
		m, err := registry.ParseManifest(row.contentType, []byte(row.body))
		if row.n == nil {
			if !errors.Is(err, registry.ErrUnreadable) {
				t.Errorf("%s: %v, want ErrUnreadable: %s", name, err, row.reason)
			}
			continue
		}
		subjects := 0
		if m.Subject != nil {
			subjects = 1
		}
		if diff := cmp.Diff(row.n, []int{len(m.Children), len(m.Blobs), subjects}); diff != "" || err != nil {
			t.Errorf("%s: children, blobs, subjects: %v, -want +got\n%s", name, err, diff)
		}
		if m.Descriptor.Digest != digest.FromString(row.body) || string(m.Bytes) != row.body {
			t.Errorf("%s: the bytes or their digest have changed", name)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[`+one+`]}`))
	f.Add(ocispec.MediaTypeImageManifest, []byte(`{"config":`+one+`,"layers":[]}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		m, err := registry.ParseManifest(contentType, body)
		if err != nil {
			if !errors.Is(err, registry.ErrUnreadable) {
				t.Errorf("%v, want ErrUnreadable", err)
			}
			return
		}
		for _, d := range append(m.Children, m.Blobs...) {
			if d.Digest.Validate() != nil {
				t.Errorf("names the digest %q", d.Digest)
			}
		}
	})
}

func TestI2ManifestOfABadRegistry(t *testing.T) {
	t.Parallel()
	body := `{"manifests":[` + one + `]}`
	d := digest.FromString(body)
	var sent atomic.Int64
	rows := map[string]struct {
		reason string
		answer http.HandlerFunc
		want   error
	}{
		"good":         {"the control", index(body), nil},
		"wrong digest": {"it is another manifest", index(`{"manifests":[]}`), registry.ErrUnreadable},
		"page":         {"a portal answers", html(http.StatusOK), registry.ErrUnreadable},
		"missing page": {"an ingress answers, not the registry", html(http.StatusNotFound), registry.ErrUnavailable},
		"said to be huge": {"it is not read at all", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
		}, registry.ErrUnreadable},
		"huge": {"it is read to the limit", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			chunk := strings.Repeat(" ", 1<<20)
			for range 1000 {
				n, err := fmt.Fprint(w, chunk)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}, registry.ErrUnreadable},
		"cut": {"the connection broke", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			w.Header().Set("Content-Length", "1000")
			say(w, body)
		}, registry.ErrUnavailable},
	}
	for name, row := range rows {
		if _, err := serve(t, row.answer).Manifest(t.Context(), "app", d); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v: %s", name, err, row.want, row.reason)
		}
	}
	if limit := int64(5 * oci.MaxManifestBytes); sent.Load() > limit {
		t.Errorf("%d bytes of a huge manifest were taken, want at most about %d", sent.Load(), limit)
	}
}

func TestResolveOfABadRegistry(t *testing.T) {
	t.Parallel()
	body := `{"manifests":[` + one + `]}`
	good := digest.FromString(body)
	header := func(d string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", d)
			index(body)(w, r)
		}
	}
	rows := map[string]struct {
		reason, reference string
		answer            http.HandlerFunc
		want              error
	}{
		"digest said":     {"the usual answer", "1.0.0", header(good.String()), nil},
		"digest not said": {"the body has it", "1.0.0", index(body), nil},
		"by digest":       {"the body must have it", good.String(), index(body), nil},
		"garbage digest":  {"it would be written into a tombstone", "1.0.0", header("sha256:zz"), registry.ErrUnreadable},
		"other digest":    {"it was asked for by digest", good.String(), header(digest.FromString("x").String()), registry.ErrUnreadable},
		"page":            {"a portal answers", "1.0.0", html(http.StatusOK), registry.ErrUnreadable},
		"missing page":    {"absence is the registry's to say", "1.0.0", html(http.StatusNotFound), registry.ErrUnavailable},
		"404":             {"I2: it is not said that the tag does not exist", "1.0.0", status(http.StatusNotFound), registry.ErrUnavailable},
		"missing":         {"", "1.0.0", unknown("MANIFEST_UNKNOWN"), registry.ErrNotFound},
	}
	for name, row := range rows {
		desc, err := serve(t, row.answer).Resolve(t.Context(), "app", row.reference)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v: %s", name, err, row.want, row.reason)
		}
		if err == nil && (desc.Digest != good || desc.Size != int64(len(body)) || desc.MediaType != ocispec.MediaTypeImageIndex) {
			t.Errorf("%s: %+v", name, desc)
		}
	}
}

// index serves body as an index.
func index(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.Method == http.MethodGet {
			say(w, body)
		}
	}
}
