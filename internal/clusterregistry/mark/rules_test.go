package mark_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

// quick are options with which everything that was not written just now is a candidate.
var quick = collect.Options{Grace: time.Hour, Dwell: time.Millisecond}

// collected runs a cycle.
func collected(x *volumetest.Tree, o collect.Options) collect.Report {
	x.T.Helper()
	r, err := collect.Run(x.T.Context(), x.Volume, o)
	if err != nil {
		x.T.Fatal(err)
	}
	return r
}

// rule is one case of what a cycle keeps and deletes. All files are old, except those that fresh writes.
type rule struct {
	reason string
	build  func(x *volumetest.Tree) (kept, gone []string)
	fresh  func(x *volumetest.Tree)
	// options are the options of the case, whose Grace and Dwell are those of quick.
	options collect.Options
	// problem is a part of the first problem of the report, or "" if there must be none.
	problem string
}

func (tt rule) run(t *testing.T) {
	t.Parallel()
	x := volumetest.New(t, volume.Options{})
	kept, gone := tt.build(x)
	x.Age()
	if tt.fresh != nil {
		tt.fresh(x)
	}
	o := tt.options
	o.Grace, o.Dwell = quick.Grace, quick.Dwell
	dry := o
	dry.DryRun = true
	before := x.All()
	would := collected(x, dry)
	if after := x.All(); !slices.Equal(before, after) {
		t.Errorf("a dry run changed the files from %v to %v", before, after)
	}
	r := collected(x, o)
	x.Must(tt.reason, kept, gone)
	if d, c := r.Deleted, would.Candidates; d != c {
		t.Errorf("the dry run announced %+v, the cycle deleted %+v", c, d)
	}
	if (tt.problem == "") != (r.NotUnderstoodCount == 0) || len(r.NotUnderstood) > 0 && !strings.Contains(r.NotUnderstood[0], tt.problem) {
		t.Errorf("got the problems %q, want %q", r.NotUnderstood, tt.problem)
	}
	if again := collected(x, o); again.Deleted != (collect.Counts{}) {
		t.Errorf("a second cycle deleted more: %s", again)
	}
}

func join(all ...[]string) []string { return slices.Concat(all...) }

func TestRootsAreKept(t *testing.T) {
	t.Parallel()
	untagged := collect.Options{Untagged: true}
	for _, tt := range []rule{
		{reason: "every revision is a root by default", build: func(x *volumetest.Tree) (kept, gone []string) {
			kept = x.Files("a", "1", x.Image("a", "", "1", ""))
			l := x.Layer("a", "left over").Digest
			return kept, []string{layout.LayerPath("a", l), layout.BlobPath(l), layout.BlobPath(x.Blob("no link"))}
		}},
		{reason: "a revision that was deleted leaves its layers and its blob", build: func(x *volumetest.Tree) (kept, gone []string) {
			d := x.Image("a", "", "1", "")
			gone = x.Files("a", "1", d)
			x.Delete(layout.RevisionPath("a", d))
			return x.Files("b", "2", x.Image("b", "", "2", "")), gone
		}},
		{reason: "a tag keeps its manifest and not the one it had before", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			gone = x.Files("a/b", "1", x.Image("a/b", "t", "1", ""))
			return append(x.Files("a/b", "2", x.Image("a/b", "t", "2", "")), layout.TagPath("a/b", "t")), gone
		}},
		{reason: "a repository inside of another is one of its own", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			gone = x.Files("a", "1", x.Image("a", "", "1", ""))
			return x.Files("a/0", "2", x.Image("a/0", "t", "2", "")), gone
		}},
		{reason: "a layer of two repositories stays in the one that needs it", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			kept = x.Files("a", "1", x.Image("a", "t", "1", ""))
			l := x.Layer("b", "1").Digest
			return kept, []string{layout.LayerPath("b", l)}
		}},
		{reason: "an index keeps its children and their children", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			one, two := x.Image("a", "", "1", ""), x.Image("a", "", "2", "")
			inner := x.Index("a", "", two)
			outer := x.Index("a", "t", one, inner)
			return join(x.Files("a", "1", one), x.Files("a", "2", two), []string{layout.BlobPath(inner), layout.RevisionPath("a", inner), layout.BlobPath(outer)}),
				x.Files("a", "3", x.Image("a", "", "3", ""))
		}},
		{reason: "an index does without children that were not copied", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			one := x.Image("a/b", "", "1", "")
			i := x.Index("a/b", "t", one, digest.FromString("never copied"), x.Blob("its revision was deleted"))
			return append(x.Files("a/b", "1", one), layout.BlobPath(i), layout.BlobPath(digest.FromString("its revision was deleted"))), x.Files("a", "3", x.Image("a", "", "3", ""))
		}},
		{reason: "a subject keeps what refers to it, and that keeps what refers to it", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			one := x.Image("a", "t", "1", "")
			kept = x.Files("a", "1", one)
			last := one
			for i := range 8 { // The order in which the mark reads them is random.
				content := fmt.Sprint("refers", i)
				next := x.Image("a", "", content, last)
				kept = append(kept, x.Put(layout.ReferrerPath("a", last, next), next.String()))
				last, kept = next, append(kept, x.Files("a", content, next)...)
			}
			lost := x.Image("a", "", "4", "")
			return kept, join(x.Files("a", "4", lost), x.Files("a", "5", x.Image("a", "", "5", lost)))
		}},
		{reason: "an entry of the referrers goes with its manifest, not for a subject that may come later", build: func(x *volumetest.Tree) (kept, gone []string) {
			kept = x.Files("a", "1", x.Image("a", "", "1", "sha256:"+digest.Digest(strings.Repeat("1", 64))))
			r := digest.Digest(filepath.Base(filepath.Dir(kept[0])))
			e := layout.ReferrerPath("a", "sha256:"+digest.Digest(strings.Repeat("1", 64)), "sha256:"+r)
			f := layout.ReferrerPath("a", "sha256:"+digest.Digest(strings.Repeat("1", 64)), digest.FromString("no revision"))
			return append(kept, x.Put(e, "x")), []string{x.Put(f, "x")}
		}},
		{reason: "a foreign layer is kept if it is there", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			l := x.Layer("a", "foreign")
			l.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
			m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: x.Layer("a", "c"), Layers: []ocispec.Descriptor{l}}
			return []string{layout.BlobPath(x.Manifest("a", "t", m)), layout.LayerPath("a", l.Digest), layout.BlobPath(l.Digest)}, []string{layout.BlobPath(x.Blob("x"))}
		}},
		{reason: "a layer link of another algorithm keeps the blob that it names", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			blob, long := x.Blob("1"), digest.SHA512.FromString("1")
			link := x.Put(layout.LayerPath("a", long), blob.String())
			m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: x.Layer("a", "c"),
				Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: long, Size: 1}}}
			x.Manifest("a", "t", m)
			other := x.Put(layout.LayerPath("a", digest.SHA512.FromString("2")), x.Blob("2").String())
			return []string{link, layout.BlobPath(blob)}, []string{other, layout.BlobPath(digest.FromString("2"))}
		}},
		{reason: "a folder of a tag without the tag is not a tag", options: untagged, build: func(x *volumetest.Tree) (kept, gone []string) {
			d := x.Image("a", "t", "1", "")
			x.Delete(layout.TagPath("a", "t"))
			return nil, x.Files("a", "1", d)
		}},
	} {
		t.Run(tt.reason, tt.run)
	}
}

func TestWhatIsYoungIsKept(t *testing.T) {
	t.Parallel()
	touch := func(files ...string) func(x *volumetest.Tree) {
		return func(x *volumetest.Tree) {
			for _, f := range files {
				if err := x.Touch(f); err != nil {
					x.T.Fatal(err)
				}
			}
		}
	}
	layer, config := digest.FromString("1"), digest.FromString("config of 1")
	for _, tt := range []rule{
		{reason: "a revision that is young keeps all it needs", options: collect.Options{Untagged: true}, build: func(x *volumetest.Tree) (kept, gone []string) {
			return nil, x.Files("a", "2", x.Image("a", "", "2", ""))
		}, fresh: func(x *volumetest.Tree) { x.Image("b", "", "1", "") }},
		{reason: "a layer link that is young keeps its blob, for a push that goes on", build: func(x *volumetest.Tree) (kept, gone []string) {
			x.Layer("a", "1")
			x.Layer("a", "config of 1")
			return []string{layout.LayerPath("a", layer), layout.BlobPath(layer)}, []string{layout.LayerPath("a", config), layout.BlobPath(config)}
		}, fresh: touch(layout.LayerPath("a", layer))},
		{reason: "a blob that is young stays without a link", build: func(x *volumetest.Tree) (kept, gone []string) {
			x.Blob("1")
			return []string{layout.BlobPath(layer)}, []string{layout.BlobPath(x.Blob("2"))}
		}, fresh: touch(layout.BlobPath(layer))},
		{reason: "an entry of the referrers that is young stays", build: func(x *volumetest.Tree) (kept, gone []string) {
			e, f := layout.ReferrerPath("a", layer, config), layout.ReferrerPath("a", layer, layer)
			x.Put(layout.TagPath("a", "t"), "")
			x.Delete(layout.TagPath("a", "t"))
			return []string{x.Put(e, "x")}, []string{x.Put(f, "x")}
		}, fresh: touch(layout.ReferrerPath("a", layer, config))},
	} {
		t.Run(tt.reason, tt.run)
	}
}

// A file that is up to two seconds older than the grace period
// must be kept: a coarse clock may make it look older than it is.
func TestTheClockMayBeCoarse(t *testing.T) {
	t.Parallel()
	x := volumetest.New(t, volume.Options{})
	near, far := layout.BlobPath(x.Blob("near")), layout.BlobPath(x.Blob("far"))
	for file, age := range map[string]time.Duration{near: time.Hour + time.Second, far: time.Hour + 5*time.Second} {
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(x.Root(), file), at, at); err != nil {
			t.Fatal(err)
		}
	}
	collected(x, quick)
	x.Must("", []string{near}, []string{far})
}
