package oci_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

const one = `{"mediaType":"x/y","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":1}`

const other = "sha256:2222222222222222222222222222222222222222222222222222222222222222"

func TestI2ParseManifest(t *testing.T) {
	t.Parallel()
	// n is the expected number of children, blobs and subjects. nil means ErrUnreadable.
	rows := map[string]struct {
		reason, contentType, body string
		n                         []int
	}{
		"OCI image":            {"", ocispec.MediaTypeImageManifest, `{"config":` + one + `,"layers":[` + one + `]}`, []int{0, 2, 0}},
		"OCI image, type said": {"", ocispec.MediaTypeImageManifest + "; charset=utf-8", `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":` + one + `,"layers":null,"subject":` + one + `}`, []int{0, 1, 1}},
		"OCI index":            {"", ocispec.MediaTypeImageIndex, `{"manifests":[` + one + `,` + one + `],"subject":` + one + `}`, []int{2, 0, 1}},
		"empty index":          {"an index may be empty", ocispec.MediaTypeImageIndex, `{"manifests":[]}`, []int{0, 0, 0}},
		"docker image":         {"", oci.MediaTypeDockerManifest, `{"mediaType":"` + oci.MediaTypeDockerManifest + `","config":` + one + `,"layers":[` + one + `]}`, []int{0, 2, 0}},
		"docker list":          {"", oci.MediaTypeDockerManifestList, `{"manifests":[` + one + `]}`, []int{1, 0, 0}},
		"OCI artifact":         {"old, and found", oci.MediaTypeArtifactManifest, `{"blobs":[` + one + `],"subject":` + one + `}`, []int{0, 1, 1}},
		"type in body only":    {"not every registry says it", "", `{"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[` + one + `]}`, []int{1, 0, 0}},

		"no type":             {"nothing says what it is", "", `{"manifests":[` + one + `]}`, nil},
		"unknown type":        {"it may name anything", "application/vnd.example+json", `{"manifests":[` + one + `]}`, nil},
		"docker schema 1":     {"it has no digests to follow", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"fsLayers":[]}`, nil},
		"bad type":            {"it is not a media type", ";;", `{"manifests":[]}`, nil},
		"types differ":        {"one of them is wrong", ocispec.MediaTypeImageManifest, `{"mediaType":"` + ocispec.MediaTypeImageIndex + `","config":` + one + `}`, nil},
		"index as image":      {"its children would be missed", ocispec.MediaTypeImageManifest, `{"manifests":[` + one + `]}`, nil},
		"image as index":      {"it is ambiguous", ocispec.MediaTypeImageIndex, `{"config":` + one + `,"layers":[]}`, nil},
		"manifests, layers":   {"two readers would see two things", ocispec.MediaTypeImageIndex, `{"manifests":[` + one + `],"layers":[` + one + `]}`, nil},
		"image and manifests": {"so here", ocispec.MediaTypeImageManifest, `{"config":` + one + `,"layers":[],"manifests":[` + one + `]}`, nil},
		"artifact and layers": {"and here", oci.MediaTypeArtifactManifest, `{"blobs":[],"layers":[` + one + `]}`, nil},
		"null children":       {"nothing is not an empty list", ocispec.MediaTypeImageIndex, `{"manifests":null}`, nil},
		"empty object":        {"it says nothing", ocispec.MediaTypeImageManifest, `{}`, nil},
		"child, no digest":    {"the child cannot be kept", ocispec.MediaTypeImageIndex, `{"manifests":[{"size":1}]}`, nil},
		"child, bad digest":   {"nor this one", ocispec.MediaTypeImageIndex, `{"manifests":[{"digest":"sha256:12"}]}`, nil},
		"bad subject":         {"whose is it?", ocispec.MediaTypeImageManifest, `{"config":` + one + `,"subject":{"digest":"md5:1"}}`, nil},
		"cut":                 {"the rest may name more", ocispec.MediaTypeImageIndex, `{"manifests":[` + one, nil},
		"trailing":            {"so may what follows", ocispec.MediaTypeImageIndex, `{"manifests":[]}{"manifests":[` + one + `]}`, nil},
		"wrong shape":         {"it is not a list", ocispec.MediaTypeImageIndex, `{"manifests":"x"}`, nil},
		"empty":               {"there is nothing", ocispec.MediaTypeImageManifest, ``, nil},
		"a page":              {"no JSON", ocispec.MediaTypeImageManifest, `<html></html>`, nil},
	}
	for name, row := range rows {
		m, err := oci.ParseManifest(row.contentType, []byte(row.body))
		if row.n == nil {
			if !errors.Is(err, failure.ErrUnreadable) {
				t.Errorf("%s: %v, want ErrUnreadable: %s", name, err, row.reason)
			}
			continue
		}
		subjects := 0
		if m.Subject != nil {
			subjects = 1
		}
		if diff := cmp.Diff(row.n, []int{len(m.Children), len(m.Blobs), subjects}); diff != "" || err != nil {
			t.Errorf("%s: children, blobs, subjects: %v, -want +got\n%s", name, err, diff)
		}
		if m.Descriptor.Digest != digest.FromString(row.body) || string(m.Bytes) != row.body {
			t.Errorf("%s: the bytes or their digest have changed", name)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[`+one+`]}`))
	f.Add(ocispec.MediaTypeImageManifest, []byte(`{"config":`+one+`,"layers":[]}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		m, err := oci.ParseManifest(contentType, body)
		if err != nil {
			if !errors.Is(err, failure.ErrUnreadable) {
				t.Errorf("%v, want ErrUnreadable", err)
			}
			return
		}
		for _, d := range append(m.Children, m.Blobs...) {
			if d.Digest.Validate() != nil {
				t.Errorf("names the digest %q", d.Digest)
			}
		}
	})
}

func TestFieldsThatAreThereTwice(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"children":        `{"manifests":[` + one + `],"manifests":[]}`,
		"children, null":  `{"manifests":[` + one + `],"manifests":null}`,
		"children, cases": `{"manifests":[` + one + `],"Manifests":[]}`,
		"subject":         `{"manifests":[],"subject":` + one + `,"subject":null}`,
		"media type":      `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`,
		"digest":          `{"manifests":[{"digest":"` + other + `",` + one[1:] + `]}`,
		"digest, cases":   `{"manifests":[{"Digest":"` + other + `",` + one[1:] + `]}`,
		"digest, folded":  `{"manifests":[{"dige\u017ft":"` + other + `",` + one[1:] + `]}`,
		"digest, null":    `{"manifests":[{"digest":null,` + one[1:] + `]}`,
		"child's type":    `{"manifests":[{"mediaType":"` + ocispec.MediaTypeImageIndex + `",` + one[1:] + `]}`,
		"size":            `{"manifests":[{"size":2,` + one[1:] + `]}`,
		"subject's":       `{"manifests":[],"subject":{"digest":"` + other + `",` + one[1:] + `}`,
	} {
		if _, err := oci.ParseManifest(ocispec.MediaTypeImageIndex, []byte(body)); !errors.Is(err, failure.ErrUnreadable) {
			t.Errorf("%s: %v, want ErrUnreadable: another reader may take the other one", name, err)
		}
	}
}
