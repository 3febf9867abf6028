package publish

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/ocilayout"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// A layout that lacks platforms is taken in by a mirror that does not need them, and by no other.
func TestAMirrorTakesInChosenPlatforms(t *testing.T) {
	amd64 := platform.List{{OS: "linux", Architecture: "amd64"}}
	s := newSite(t, v1alpha1.RewriteAlways)
	from, err := registry.Open(registry.Config{Location: s.from.Location("")})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	d, err := registrytest.PushIndex(t.Context(), s.from.Host, "acme/upf", "1", []string{"linux/amd64", "linux/arm64"}, "sparse")
	if err == nil {
		_, err = registrytest.PushReferrer(t.Context(), s.from.Host, "acme/upf", d, "application/x.signature", []byte("signed"))
	}
	if err != nil {
		t.Fatal(err)
	}
	source, err := from.SourceWith(t.Context(), "acme/upf", "1", registry.Selection{Platforms: amd64})
	if err != nil {
		t.Fatal(err)
	}
	signatures, err := from.Satellites(t.Context(), "acme/upf", source)
	if err != nil || len(signatures) != 1 {
		t.Fatal(len(signatures), err)
	}
	file := filepath.Join(t.TempDir(), "site.tar")
	w, err := ocilayout.Create(file, true)
	if err == nil {
		err = w.Add(t.Context(), ocilayout.Image{Name: "r.example/acme/upf:1", Repository: "r.example/acme/upf", Source: source, Satellites: signatures}, func(int64) {})
	}
	if err == nil {
		err = w.Finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load("oci-archive:" + file); err == nil || !strings.Contains(err.Error(), "mirror.platforms") {
		t.Errorf("a mirror of all platforms: %v", err)
	}
	s.ServePlatforms(t, t.TempDir(), amd64)
	for _, says := range []string{"pushed, with 1 signature", "there already, with 1 signature"} {
		if err := s.load("oci-archive:" + file); err != nil || !strings.Contains(s.out.String(), says) {
			t.Fatalf("%v: %s, want %q", err, s.out.String(), says)
		}
	}
	all, err := s.client.SourceWith(t.Context(), v1alpha1.MirrorPrefix+"/r.example/acme/upf", "1", registry.Selection{Sparse: true})
	if err != nil || all.Size != source.Size {
		t.Fatalf("the mirror has something else: %v", err)
	}
	// The whole image can be pushed where one is that lacks a platform.
	if err := s.load("r.example/acme/upf:1=" + s.from.Host + "/acme/upf:1"); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Verify(t.Context(), v1alpha1.MirrorPrefix+"/r.example/acme/upf", "1", d); err != nil {
		t.Error(err)
	}
}
