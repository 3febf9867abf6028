package publish

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/ocilayout"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// An image in a layout is either pushed or named in an error.
func TestNoImageOfALayoutIsLeftOut(t *testing.T) {
	const upf, sbom = "r.example.com/acme/upf:1", "r.example.com/acme/sbom:1"
	unnamed := func(d *ocispec.Descriptor) {
		if d.Annotations[ocispec.AnnotationRefName] == sbom {
			d.Annotations = nil
		}
	}
	bare := func(d *ocispec.Descriptor) {
		if name := d.Annotations[ocispec.AnnotationRefName]; name != "" {
			d.Annotations = map[string]string{oci.ImageNameAnnotation: name, ocispec.AnnotationRefName: "1"}
		}
	}
	for name, tc := range map[string]struct {
		reason string
		of     string // the repository of the second image
		edit   func(*ocispec.Descriptor)
		tag    string
		says   string
		pushed bool // the second image
	}{
		"Named":     {"two images", "x/amf", func(*ocispec.Descriptor) {}, "", "", true},
		"Subject":   {"an image with a name is one, whatever it is attached to", "x/upf", func(*ocispec.Descriptor) {}, "", "", true},
		"Unnamed":   {"it would be lost", "x/amf", unnamed, "", "has an image without a name", false},
		"Chosen":    {"one of them is meant", "x/amf", unnamed, ":" + upf, "", false},
		"Satellite": {"it goes with its image", "x/upf", unnamed, "", "", false},
		"Whole":     {"it is said which of two with one tag", "x/amf", bare, ":" + sbom, "", true},
		"Bare":      {"both have this tag", "x/amf", bare, ":1", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, v1alpha1.RewriteAlways)
			image := s.build("x/upf", "upf")
			second := s.build("x/amf", "amf")
			folder := filepath.Join(t.TempDir(), "site")
			s.layout(folder, "x/upf", upf)
			at := "1"
			if tc.of == "x/upf" {
				var err error
				if second, err = registrytest.PushReferrer(t.Context(), s.from.Host, tc.of, image, "application/spdx+json", []byte("sbom")); err != nil {
					t.Fatal(err)
				}
				at = second.Digest.String()
			}
			if err := errors.Join(registrytest.WriteLayout(t.Context(), s.from.Host, tc.of, at, folder, sbom), relist(folder, tc.edit)); err != nil {
				t.Fatal(err)
			}
			err := s.load("oci:" + folder + tc.tag)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
			}
			if got := s.at(sbom); (got == second.Digest.String()) != tc.pushed {
				t.Errorf("%s: the mirror has %q of the second image, and it is pushed: want %t", tc.reason, got, tc.pushed)
			}
		})
	}
}

// relist changes the entries in a layout's index.
func relist(folder string, edit func(*ocispec.Descriptor)) error {
	file := filepath.Join(folder, ocispec.ImageIndexFile)
	text, err := os.ReadFile(file)
	var index ocispec.Index
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	for i := range index.Manifests {
		edit(&index.Manifests[i])
	}
	if err == nil {
		text, err = json.Marshal(index)
	}
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	return err
}

// Only a mirror that does not need the missing platforms accepts a layout that lacks them.
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
	// The complete image can overwrite the partial one.
	if err := s.load("r.example/acme/upf:1=" + s.from.Host + "/acme/upf:1"); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Verify(t.Context(), v1alpha1.MirrorPrefix+"/r.example/acme/upf", "1", d); err != nil {
		t.Error(err)
	}
}
