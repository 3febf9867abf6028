package wire_test

import (
	"io"
	"net/http"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/clienttest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

var (
	open  = clienttest.Open
	serve = clienttest.Serve
	start = clienttest.Start
)

// push pushes an image under the tag 1.0.0.
func push(t *testing.T, host, repository string) ocispec.Descriptor {
	t.Helper()
	desc, err := registrytest.PushImage(t.Context(), host, repository, "1.0.0", "a")
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// say answers a request. Its error does not matter, because the client may have closed the connection.
func say(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}
