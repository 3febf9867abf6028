package images

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// The images of a mirror with chosen platforms are exported, and the export reports that platforms are missing.
func TestAnExportOfChosenPlatforms(t *testing.T) {
	for _, name := range []string{"site.tar", "site"} {
		t.Run(name, func(t *testing.T) {
			amd64 := platform.List{{OS: "linux", Architecture: "amd64"}}
			s := newSite(t)
			s.ServePlatforms(t, t.TempDir(), amd64)
			const path = "r.example/acme/upf"
			d, err := registrytest.PushIndex(t.Context(), s.from.Host, path, "1", []string{"linux/amd64", "linux/arm64"}, "partial")
			if err != nil {
				t.Fatal(err)
			}
			from, err := registry.Open(registry.Config{Location: s.from.Location("")})
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			to, err := registry.Open(registry.Config{Location: s.Registry.Location(v1alpha1.MirrorPrefix), CABundle: s.Registry.CA, Credential: credential.OfToken("token-of-p:ci")})
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			source, err := from.SourceWith(t.Context(), path, "1", registry.Selection{Platforms: amd64})
			if err == nil {
				err = to.Copy(t.Context(), v1alpha1.MirrorPrefix+"/"+path, source, func(int64) {})
			}
			if err == nil {
				err = to.Tag(t.Context(), v1alpha1.MirrorPrefix+"/"+path, "1", source, "")
			}
			if err != nil {
				t.Fatal(err)
			}
			s.needs("ran", path+":1")
			file := filepath.Join(t.TempDir(), name)
			if err := s.export(file, func(f *imagesFlags) { f.output = "json" }); err != nil {
				t.Fatal(err)
			}
			var says struct{ Images []exported }
			if err := json.Unmarshal(s.out.Bytes(), &says); err != nil || len(says.Images) != 1 || says.Images[0].Digest != d.Digest.String() || !strings.HasSuffix(says.Images[0].Message, "other platforms: 1") {
				t.Errorf("%v: %s", err, s.out.String())
			}
			if !strings.Contains(s.says.String(), "images without some of their platforms, which the mirror does not have: 1;") {
				t.Errorf("it says %q", s.says.String())
			}
			sparse(t, file, source)
		})
	}
}

// sparse fails the test unless a layout has one image with the content of a source.
func sparse(t *testing.T, file string, want *registry.Source) {
	t.Helper()
	l := opened(t, file)
	got, err := l.SourceWith(t.Context(), l.Images[0], registry.Selection{Sparse: true})
	if err != nil || len(l.Images) != 1 || got.Size != want.Size || len(got.Absent()) != 1 {
		t.Errorf("the layout has %d images: %v", len(l.Images), err)
	}
}
