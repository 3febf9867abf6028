package mark_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

func TestR3DoubtKeepsTheRepository(t *testing.T) {
	t.Parallel()
	corrupt := func(file, content string) func(x *volumetest.Tree) []string {
		return func(x *volumetest.Tree) []string { return []string{x.Put(file, content)} }
	}
	one := digest.FromString("1")
	for _, tt := range []struct {
		reason, problem string
		// spoil puts repository "a" in doubt, which has an image with the tag t and an untagged image.
		spoil func(x *volumetest.Tree, tagged, other digest.Digest)
		// gone is set if the untagged image is deleted nevertheless.
		gone bool
	}{
		{reason: "nothing is wrong", gone: true, spoil: func(*volumetest.Tree, digest.Digest, digest.Digest) {}},
		{reason: "a manifest is missing", problem: "is missing", spoil: func(x *volumetest.Tree, d, _ digest.Digest) { x.Delete(layout.BlobPath(d)) }},
		{reason: "a manifest that may go is missing", problem: "is missing", spoil: func(x *volumetest.Tree, _, d digest.Digest) { x.Delete(layout.BlobPath(d)) }},
		{reason: "a manifest is corrupt", problem: "corrupt", spoil: func(x *volumetest.Tree, d, _ digest.Digest) { corrupt(layout.BlobPath(d), "{}")(x) }},
		{reason: "a manifest is too large", problem: "more than", spoil: func(x *volumetest.Tree, d, _ digest.Digest) {
			corrupt(layout.BlobPath(d), strings.Repeat("x", layout.MaxManifest+1))(x)
		}},
		{reason: "a folder is in place of a manifest", problem: "is missing", spoil: func(x *volumetest.Tree, d, _ digest.Digest) {
			x.Delete(layout.BlobPath(d))
			x.Put(layout.BlobPath(d)+"/x", "")
		}},
		{reason: "a manifest is of an unknown type", problem: "understood", spoil: func(x *volumetest.Tree, _, _ digest.Digest) {
			x.Manifest("a", "u", map[string]any{"mediaType": "application/unknown"})
		}},
		{reason: "a child is of an unknown type", problem: "understood", spoil: func(x *volumetest.Tree, _, _ digest.Digest) {
			x.Index("a", "u", x.Manifest("a", "", map[string]any{"mediaType": "application/unknown"}))
		}},
		{reason: "a revision is of an unknown algorithm", problem: "blake3", spoil: func(x *volumetest.Tree, _, _ digest.Digest) {
			x.Put(layout.RevisionsOf("a")+"/blake3/aa/link", "blake3:aa")
		}},
		{reason: "a tag is dangling, and its manifest missing", problem: "is missing", spoil: func(x *volumetest.Tree, _, _ digest.Digest) {
			x.Put(layout.TagPath("a", "u"), digest.FromString("x").String())
		}},
		{reason: "a tag without history is empty", problem: "names no digest", spoil: func(x *volumetest.Tree, _, _ digest.Digest) { x.Put(layout.TagPath("a", "u"), "") }},
		{reason: "a tag without history is too large", problem: "names no digest", spoil: func(x *volumetest.Tree, _, _ digest.Digest) {
			x.Put(layout.TagPath("a", "u"), strings.Repeat("x", 1025))
		}},
		{reason: "an empty tag keeps its history", problem: "tag u", spoil: func(x *volumetest.Tree, _, d digest.Digest) {
			x.Tag("a", "u", d)
			x.Put(layout.TagPath("a", "u"), "")
		}},
		{reason: "an empty tag keeps nothing but its history", problem: "tag t", gone: true, spoil: func(x *volumetest.Tree, _, _ digest.Digest) { x.Put(layout.TagPath("a", "t"), "") }},
		{reason: "the link of a needed layer of another algorithm is empty", problem: "names no digest", spoil: func(x *volumetest.Tree, _, _ digest.Digest) {
			l := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.SHA512.FromString("x"), Size: 1}
			x.Put(layout.LayerPath("a", l.Digest), "")
			x.Manifest("a", "u", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: x.Layer("a", "c"), Layers: []ocispec.Descriptor{l}})
		}},
	} {
		t.Run(tt.reason, rule{reason: tt.reason, problem: tt.problem, options: collect.Options{Untagged: true}, build: func(x *volumetest.Tree) (kept, gone []string) {
			tagged, other := x.Image("a", "t", "0", ""), x.Image("a", "", "1", "")
			mine, loose := x.Files("a", "1", other), x.Layer("a", "loose").Digest
			kept, gone = x.Files("a", "0", tagged), x.Files("b", "2", x.Image("b", "", "2", ""))
			tt.spoil(x, tagged, other)
			link, entry := layout.LayerPath("a", loose), x.Put(layout.ReferrerPath("a", tagged, loose), "x")
			switch {
			case tt.gone:
				gone = append(append(gone, mine...), link, entry)
			case strings.Contains(tt.problem, "tag u"):
				kept, gone = append(kept, mine...), append(gone, link, entry)
			default:
				kept = append(append(kept, mine...), link, entry, layout.BlobPath(loose))
			}
			return slices.DeleteFunc(kept, func(f string) bool { return !x.Has(f) }), gone
		}}.run)
	}
	t.Run("the link of a young layer of another algorithm is empty", rule{
		reason: "its blob may be any of the repository", problem: "names no digest",
		build: func(x *volumetest.Tree) (kept, gone []string) {
			x.Image("a", "t", "0", "")
			return []string{layout.BlobPath(x.Layer("a", "1").Digest), layout.LayerPath("a", one)}, nil
		},
		fresh: func(x *volumetest.Tree) { x.Put(layout.LayerPath("a", digest.SHA512.FromString("z")), "") },
	}.run)
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	x := volumetest.New(t, volume.Options{})
	for i := range 48 {
		x.Delete(layout.BlobPath(x.Image("a", "", strings.Repeat("x", i+1), "")))
	}
	x.Age()
	r := collected(x, quick)
	if r.NotUnderstoodCount != 48 || len(r.NotUnderstood) != 16 || !slices.IsSorted(r.NotUnderstood) {
		t.Errorf("got %d problems and %d of them in words: %q", r.NotUnderstoodCount, len(r.NotUnderstood), r.NotUnderstood)
	}
	if s := r.String(); strings.Contains(s, "\n") || !strings.Contains(s, "48 cannot be understood") {
		t.Error(s)
	}
}
