package wire_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// open opens a client that ends with the test.
func open(t *testing.T, cfg registry.Config) *registry.Client {
	t.Helper()
	c, err := registry.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve opens a client of a handler that stands for a registry.
func serve(t *testing.T, h http.Handler) *registry.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}})
}

// start starts a registry and opens a client of it.
func start(t *testing.T, opts ...registrytest.Option) (*registrytest.Registry, *registry.Client) {
	t.Helper()
	r := registrytest.Start(t, opts...)
	return r, open(t, registry.Config{Location: r.Location(""), CABundle: r.CA, SecondLook: time.Millisecond})
}

// push pushes an image under the tag 1.0.0.
func push(t *testing.T, host, repository string) ocispec.Descriptor {
	t.Helper()
	desc, err := registrytest.PushImage(t.Context(), host, repository, "1.0.0", "a")
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// say answers; who has gone does not hear it.
func say(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}
