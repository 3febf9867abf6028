package layout_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

func TestParse(t *testing.T) {
	d, s := digest.FromString("a"), digest.FromString("b")
	for _, tt := range []struct {
		reason, path string
		want         layout.Path
	}{
		{"content", layout.BlobPath(d), layout.Path{Kind: layout.Blob, Digest: d}},
		{"content by a longer digest", layout.BlobPath(digest.SHA512.FromString("a")), layout.Path{Kind: layout.Blob, Digest: digest.SHA512.FromString("a")}},
		{"a layer of a deep repository", layout.LayerPath("a/b/c", d), layout.Path{Kind: layout.Layer, Repository: "a/b/c", Digest: d}},
		{"a revision", layout.RevisionPath("a", d), layout.Path{Kind: layout.Revision, Repository: "a", Digest: d}},
		{"a tag", layout.TagPath("a", "1.0"), layout.Path{Kind: layout.Tag, Repository: "a", Name: "1.0"}},
		{"a tag named like a folder", layout.TagPath("a", "_layers"), layout.Path{Kind: layout.Tag, Repository: "a", Name: "_layers"}},
		{"an entry of the referrers", layout.ReferrerPath("a/b", s, d), layout.Path{Kind: layout.Referrer, Repository: "a/b", Digest: d, Subject: s}},
		{"an upload", layout.UploadsOf("a") + "/id/data", layout.Path{Kind: layout.Upload, Repository: "a", Name: "id"}},
		{"a hash state of an upload", layout.UploadsOf("a") + "/id/hashstates/sha256/0", layout.Path{Kind: layout.Upload, Repository: "a", Name: "id"}},
		{"the history of a tag", layout.TagHistoryOf("a", "1.0") + "/sha256/" + d.Encoded() + "/link", layout.Path{}},
		{"a file that is being written", layout.BlobPath(d) + ".x.tmp", layout.Path{}},
		{"a digest that is invalid", layout.Blobs + "/sha256/aa/aa/data", layout.Path{}},
		{"content in another's folder", layout.Blobs + "/sha256/zz/" + d.Encoded() + "/data", layout.Path{}},
		{"a repository's folder", layout.Repositories + "/a", layout.Path{}},
		{"the root", "/", layout.Path{}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, layout.Parse(tt.path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadManifest(t *testing.T) {
	d := digest.FromString("a")
	a := fmt.Sprintf(`{"mediaType":"t/c","digest":%q,"size":3}`, d)
	foreign := fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip","digest":%q,"size":4,"urls":["https://x"]}`, d)
	want := []layout.Descriptor{{Digest: d, Size: 3}}
	for _, tt := range []struct {
		reason, content string
		want            layout.Manifest
	}{
		{"an image", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":` + a + `,"layers":[` + foreign + `],"subject":` + a + `}`,
			layout.Manifest{MediaType: "application/vnd.oci.image.manifest.v1+json", ArtifactType: "t/c", Contents: want, Foreign: []layout.Descriptor{{Digest: d, Size: 4}}, Subject: d}},
		{"an image of Docker", `{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":` + a + `,"layers":[` + a + `]}`,
			layout.Manifest{MediaType: "application/vnd.docker.distribution.manifest.v2+json", ArtifactType: "t/c", Contents: append(want, want...)}},
		{"an index", `{"mediaType":"application/vnd.oci.image.index.v1+json","artifactType":"x","manifests":[` + a + `],"annotations":{"k":"v"}}`,
			layout.Manifest{MediaType: "application/vnd.oci.image.index.v1+json", ArtifactType: "x", Manifests: want, Annotations: map[string]string{"k": "v"}}},
		{"an index that names no type", `{"schemaVersion":2,"manifests":[` + a + `]}`, layout.Manifest{Manifests: want}},
		{"an image that names no type, and no layers", `{"schemaVersion":2,"config":` + a + `,"layers":null}`, layout.Manifest{ArtifactType: "t/c", Contents: want}},
		{"no subject", `{"config":` + a + `,"subject":null}`, layout.Manifest{ArtifactType: "t/c", Contents: want}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			got, err := layout.ReadManifest([]byte(tt.content))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for reason, content := range map[string]string{
		"nothing":                     ``,
		"half of it":                  `{"config":` + a,
		"more than one":               `{"config":` + a + `}{}`,
		"a list":                      `[]`,
		"neither":                     `{"schemaVersion":2}`,
		"both":                        `{"config":` + a + `,"manifests":[]}`,
		"another type":                `{"mediaType":"text/html","config":` + a + `}`,
		"an old type":                 `{"mediaType":"application/vnd.docker.distribution.manifest.v1+json","fsLayers":[]}`,
		"layers twice":                `{"config":` + a + `,"layers":[],"layers":[` + a + `]}`,
		"layers twice, once in upper": `{"config":` + a + `,"layers":[],"Layers":[` + a + `]}`,
		"layers twice, once folded":   `{"config":` + a + `,"layers":[],"layer\u017f":[` + a + `]}`,
		"a digest twice":              `{"config":` + fmt.Sprintf(`{"digest":%q,"digest":%q,"size":1}`, d, digest.FromString("b")) + `}`,
		"a digest that is invalid":    `{"config":{"digest":"sha256:1","size":1}}`,
		"a size below nothing":        `{"config":` + fmt.Sprintf(`{"digest":%q,"size":-1}`, d) + `}`,
		"layers that are no list":     `{"config":` + a + `,"layers":1}`,
		"an image without a config":   `{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[` + a + `]}`,
	} {
		t.Run(reason, func(t *testing.T) {
			if m, err := layout.ReadManifest([]byte(content)); !errors.Is(err, layout.ErrNotUnderstood) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}
