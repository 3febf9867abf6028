package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

const one = `{"mediaType":"x/y","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":1}`

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
