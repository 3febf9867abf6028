package collect

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func TestR3DoubtKeepsTheRepository(t *testing.T) {
	t.Parallel()
	corrupt := func(file, content string) func(x *tree) []string {
		return func(x *tree) []string { return []string{x.write(file, content)} }
	}
	one := digest.FromString("1")
	for _, tt := range []struct {
		reason, problem string
		// spoil puts a repository "a", which has an image by the tag t and an untagged one, in doubt.
		spoil func(x *tree, tagged, other digest.Digest)
		// gone is set if the untagged image goes nevertheless.
		gone bool
	}{
		{reason: "nothing is wrong", gone: true, spoil: func(*tree, digest.Digest, digest.Digest) {}},
		{reason: "a manifest is missing", problem: "is missing", spoil: func(x *tree, d, _ digest.Digest) { x.remove(layout.BlobPath(d)) }},
		{reason: "a manifest that may go is missing", problem: "is missing", spoil: func(x *tree, _, d digest.Digest) { x.remove(layout.BlobPath(d)) }},
		{reason: "a manifest is corrupt", problem: "corrupt", spoil: func(x *tree, d, _ digest.Digest) { corrupt(layout.BlobPath(d), "{}")(x) }},
		{reason: "a manifest is too large", problem: "more than", spoil: func(x *tree, d, _ digest.Digest) {
			corrupt(layout.BlobPath(d), strings.Repeat("x", layout.MaxManifest+1))(x)
		}},
		{reason: "a folder is in place of a manifest", problem: "is missing", spoil: func(x *tree, d, _ digest.Digest) {
			x.remove(layout.BlobPath(d))
			x.write(layout.BlobPath(d)+"/x", "")
		}},
		{reason: "a manifest is of an unknown type", problem: "understood", spoil: func(x *tree, _, _ digest.Digest) {
			x.manifest("a", "u", map[string]any{"mediaType": "application/unknown"})
		}},
		{reason: "a child is of an unknown type", problem: "understood", spoil: func(x *tree, _, _ digest.Digest) {
			x.index("a", "u", x.manifest("a", "", map[string]any{"mediaType": "application/unknown"}))
		}},
		{reason: "a revision is of an unknown algorithm", problem: "blake3", spoil: func(x *tree, _, _ digest.Digest) {
			x.write(layout.RevisionsOf("a")+"/blake3/aa/link", "blake3:aa")
		}},
		{reason: "a tag is dangling, and its manifest missing", problem: "is missing", spoil: func(x *tree, _, _ digest.Digest) {
			x.write(layout.TagPath("a", "u"), digest.FromString("x").String())
		}},
		{reason: "a tag without history is empty", problem: "names no digest", spoil: func(x *tree, _, _ digest.Digest) { x.write(layout.TagPath("a", "u"), "") }},
		{reason: "a tag without history is too large", problem: "names no digest", spoil: func(x *tree, _, _ digest.Digest) {
			x.write(layout.TagPath("a", "u"), strings.Repeat("x", maxLink+1))
		}},
		{reason: "an empty tag keeps its history", problem: "tag u", spoil: func(x *tree, _, d digest.Digest) {
			x.tag("a", "u", d)
			x.write(layout.TagPath("a", "u"), "")
		}},
		{reason: "an empty tag keeps nothing but its history", problem: "tag t", gone: true, spoil: func(x *tree, _, _ digest.Digest) { x.write(layout.TagPath("a", "t"), "") }},
		{reason: "the link of a needed layer of another algorithm is empty", problem: "names no digest", spoil: func(x *tree, _, _ digest.Digest) {
			l := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.SHA512.FromString("x"), Size: 1}
			x.write(layout.LayerPath("a", l.Digest), "")
			x.manifest("a", "u", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: x.layer("a", "c"), Layers: []ocispec.Descriptor{l}})
		}},
	} {
		t.Run(tt.reason, rule{reason: tt.reason, problem: tt.problem, options: Options{Untagged: true}, build: func(x *tree) (kept, gone []string) {
			tagged, other := x.image("a", "t", "0", ""), x.image("a", "", "1", "")
			mine, loose := x.files("a", "1", other), x.layer("a", "loose").Digest
			kept, gone = x.files("a", "0", tagged), x.files("b", "2", x.image("b", "", "2", ""))
			tt.spoil(x, tagged, other)
			link, entry := layout.LayerPath("a", loose), x.write(layout.ReferrerPath("a", tagged, loose), "x")
			switch {
			case tt.gone:
				gone = append(append(gone, mine...), link, entry)
			case strings.Contains(tt.problem, "tag u"):
				kept, gone = append(kept, mine...), append(gone, link, entry)
			default:
				kept = append(append(kept, mine...), link, entry, layout.BlobPath(loose))
			}
			return slices.DeleteFunc(kept, func(f string) bool { return !x.has(f) }), gone
		}}.run)
	}
	t.Run("the link of a young layer of another algorithm is empty", rule{
		reason: "its blob may be any of the repository", problem: "names no digest",
		build: func(x *tree) (kept, gone []string) {
			x.image("a", "t", "0", "")
			return []string{layout.BlobPath(x.layer("a", "1").Digest), layout.LayerPath("a", one)}, nil
		},
		fresh: func(x *tree) { x.write(layout.LayerPath("a", digest.SHA512.FromString("z")), "") },
	}.run)
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	for i := range 3 * maxProblems {
		x.remove(layout.BlobPath(x.image("a", "", strings.Repeat("x", i+1), "")))
	}
	x.age()
	r := x.collect(quick)
	if r.NotUnderstoodCount != 3*maxProblems || len(r.NotUnderstood) != maxProblems || !slices.IsSorted(r.NotUnderstood) {
		t.Errorf("got %d problems and %d of them in words: %q", r.NotUnderstoodCount, len(r.NotUnderstood), r.NotUnderstood)
	}
	if s := r.String(); strings.Contains(s, "\n") || !strings.Contains(s, "48 cannot be understood") {
		t.Error(s)
	}
}

// A manifest that nobody understands, and that is pushed while the cycle waits, keeps its repository.
func TestR3DoubtWhileACycleWaitsGivesTheRepositoryBack(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	one, loose := x.image("a", "", "1", ""), x.layer("a", "2").Digest
	kept := append(x.files("a", "1", one), layout.LayerPath("a", loose), layout.BlobPath(loose), x.write(layout.ReferrerPath("a", one, loose), "x"))
	gone := x.files("b", "3", x.image("b", "", "3", ""))
	x.age()
	o := quick
	o.Untagged = true
	r, err := run(t.Context(), x.Volume, o, func(step, _ string) {
		if step == "waiting" {
			x.manifest("a", "", map[string]any{"mediaType": "application/unknown"})
		}
	})
	if err != nil || r.NotUnderstoodCount != 1 {
		t.Error(r, err)
	}
	x.must("", kept, gone)
}
