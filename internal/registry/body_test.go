package registry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// A transport may still be reading and then closing a request's body while the sender
// of the request closes it as well. The race detector finds unsynchronized access.

// HTTP/2 closes a body in a separate goroutine when its request has ended.
func TestCopyOverHTTP2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside := registrytest.Start(t, registrytest.InDir(dir)) // tests push to it without TLS
	_, from := start(t, registrytest.InDir(dir), registrytest.TLS())
	_, to := start(t, registrytest.TLS())
	for i := range 4 {
		tag := strconv.Itoa(i)
		if _, err := registrytest.PushIndex(t.Context(), inside.Host, "app", tag, []string{"linux/amd64", "linux/arm64", "linux/s390x"}, tag); err != nil {
			t.Fatal(err)
		}
		s, err := from.Source(t.Context(), "app", tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Copy(t.Context(), "acme/app", s, unwatched); err != nil {
			t.Fatal(err)
		}
	}
}

// A registry may refuse a blob before it has read it. The copy must end although the source is still being read.
func TestCopyThatIsRefusedEarly(t *testing.T) {
	t.Parallel()
	source, from := start(t)
	if _, err := registrytest.PushArtifact(t.Context(), source.Host, "app", "1", "application/x.config", "application/x.layer", []byte("{}"), []byte(strings.Repeat("x", 4<<20))); err != nil {
		t.Fatal(err)
	}
	s, err := from.Source(t.Context(), "app", "1")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{})
	source.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/blobs/"+s.Root.Blobs[len(s.Root.Blobs)-1].Digest.String()) {
			return false
		}
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Length", strconv.Itoa(4<<20))
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		_ = http.NewResponseController(w).Flush()
		select { // the rest is slow
		case <-refused:
		case <-req.Context().Done():
		}
		return true
	})
	target, to := start(t)
	target.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/blobs/") || req.ContentLength < 4<<20 {
			return false
		}
		registrytest.Fail(w, http.StatusForbidden, "DENIED", "not here")
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := to.Copy(ctx, "acme/app", s, unwatched); !errors.Is(err, registry.ErrDenied) {
		t.Errorf("the copy says %v, want that it is denied", err)
	}
	close(refused)
}
