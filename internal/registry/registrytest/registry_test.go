package registrytest_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// This test finds a registry that loses its content when another one is started in the same directory.
func TestHandler(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, err := registrytest.Handler(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	first := httptest.NewServer(h)
	defer first.Close()
	chart, err := registrytest.PushArtifact(t.Context(), strings.TrimPrefix(first.URL, "http://"), "acme/chart", "1.0.0",
		"application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", []byte(`{"name":"chart","version":"1.0.0"}`), []byte("chart"))
	if err != nil {
		t.Fatal(err)
	}
	if h, err = registrytest.Handler(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	second := httptest.NewServer(h)
	defer second.Close()
	host := strings.TrimPrefix(second.URL, "http://")
	if d, err := registrytest.TagDigest(t.Context(), host, "acme/chart", "1.0.0"); err != nil || d != chart.Digest {
		t.Errorf("after a new start the tag is at %q, %v; want %s", d, err, chart.Digest)
	}
	c, err := registry.Open(registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: host, Prefix: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Delete(t.Context(), "acme/chart", chart.Digest); err != nil {
		t.Errorf("deletion is on: %v", err)
	}
}

func TestSeedsMakeDigests(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	push := func(tag, seed string) string {
		desc, err := registrytest.PushImage(t.Context(), r.Host, "app", tag, seed)
		if err != nil {
			t.Fatal(err)
		}
		return desc.Digest.String()
	}
	if a, again, b := push("1", "a"), push("2", "a"), push("3", "b"); a != again || a == b {
		t.Errorf("seeds a, a, b give %s, %s, %s", a, again, b)
	}
}
