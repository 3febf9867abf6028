// Package clienttest opens registries and image layouts for tests, and closes them when the test ends.
package clienttest

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// Open opens a client.
func Open(t testing.TB, cfg registry.Config) *registry.Client {
	t.Helper()
	c, err := registry.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Serve opens a client of a handler that acts as a registry.
func Serve(t testing.TB, h http.Handler) *registry.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return Open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}})
}

// Start starts a registry and opens a client of it for which absences settle after one millisecond.
func Start(t testing.TB, opts ...registrytest.Option) (*registrytest.Registry, *registry.Client) {
	t.Helper()
	r := registrytest.Start(t, opts...)
	return r, Open(t, registry.Config{Location: r.Location(""), CABundle: r.CA, SecondLook: time.Millisecond})
}

// OpenLayout reads the first image of the layout in a folder or, with archive, of a tar archive of that folder.
func OpenLayout(t testing.TB, folder string, archive bool) (*oci.Source, error) {
	t.Helper()
	open, path := oci.OpenLayout, folder
	if archive {
		open, path = oci.OpenLayoutArchive, folder+".tar"
		if err := registrytest.PackLayout(folder, path); err != nil {
			t.Fatal(err)
		}
	}
	l, err := open(path)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = l.Close() })
	if len(l.Images) == 0 {
		t.Fatal("the layout has no image")
	}
	return l.Source(t.Context(), l.Images[0])
}

// BlobFile returns the path of a blob in a layout folder.
func BlobFile(folder string, d digest.Digest) string {
	return filepath.Join(folder, "blobs", d.Algorithm().String(), d.Encoded())
}
