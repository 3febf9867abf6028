package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestBlob(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	layer := strings.Repeat("x", 1000)
	if _, err := registrytest.PushArtifact(t.Context(), r.Host, "acme/app", "1", "application/json", "text/plain", []byte("{}"), []byte(layer)); err != nil {
		t.Fatal(err)
	}
	c := open(t, registry.Config{Location: r.Location("acme")})
	for name, row := range map[string]struct {
		reason, repository string
		d                  digest.Digest
		limit              int64
		want               error
	}{
		"whole":     {"as it was pushed", "acme/app", digest.FromString(layer), 1000, nil},
		"too large": {"one byte too many", "acme/app", digest.FromString(layer), 999, registry.ErrUnreadable},
		"missing":   {"nobody pushed it", "acme/app", digest.FromString("y"), 1000, registry.ErrNotFound},
		"outside":   {"it is another store's (I9)", "other/app", digest.FromString(layer), 1000, registry.ErrConfig},
		"no digest": {"a path is not a digest", "acme/app", "../../x", 1000, registry.ErrConfig},
	} {
		data, err := c.Blob(t.Context(), row.repository, row.d, row.limit)
		if !errors.Is(err, row.want) || (err == nil && string(data) != layer) {
			t.Errorf("%s: %d bytes, %v, want %v: %s", name, len(data), err, row.want, row.reason)
		}
	}
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "other bytes") }))
	if _, err := other.Blob(t.Context(), "app", digest.FromString(layer), 1000); !errors.Is(err, registry.ErrUnreadable) {
		t.Errorf("bytes of another digest: %v", err)
	}
}
