package collect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// mover is a view that does something once, before the n-th look.
type mover struct {
	left int
	do   func()
}

func (m *mover) look() {
	if m.do == nil {
		return
	}
	if m.left--; m.left < 0 {
		do := m.do
		m.do = nil
		do()
	}
}

func (m *mover) Lstat(name string) (fs.FileInfo, error)     { m.look(); return os.Lstat(name) }
func (m *mover) ReadDir(name string) ([]fs.DirEntry, error) { m.look(); return os.ReadDir(name) }

// Another cycle hides a tag, a revision or a layer link, or gives it back, before each look of the second mark. What
// it keeps is kept, wherever it is.
func TestR2ASecondCycleMovesARootDuringTheSecondMark(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		back   bool
		root   func(x *tree) (file string)
	}{
		{"it gives a tag back", true, func(x *tree) string { x.tag("a", "t", x.manifestOf("1")); return layout.TagPath("a", "t") }},
		{"it hides a tag", false, func(x *tree) string { x.tag("a", "t", x.manifestOf("1")); return layout.TagPath("a", "t") }},
		{"it gives a manifest back", true, func(x *tree) string { return layout.RevisionPath("a", x.manifestOf("1")) }},
		{"it gives a lease back", true, func(x *tree) string {
			return x.write(layout.LayerPath("a", digest.FromString("1")), digest.FromString("1").String())
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			moves := 0
			for ; ; moves++ {
				view := &mover{left: moves}
				x := newTree(t, volume.Options{View: view})
				one := x.layer("a", "1").Digest
				x.image("a", "other", "2", "")
				x.remove(layout.RevisionPath("a", x.manifestOf("1")))
				x.age()
				var file string
				moved := false
				if _, err := run(t.Context(), x.Volume, Options{Grace: time.Hour, Dwell: time.Nanosecond, Workers: 1}, func(step, _ string) {
					if step == "giving back" || step == "discarding" {
						view.do = nil
					}
					if step != "waiting" {
						return
					}
					x.write(layout.RevisionPath("a", x.manifestOf("1")), "x")
					file = tt.root(x)
					if tt.back {
						x.hideIn("zz", file)
					}
					view.do = func() {
						moved = true
						if tt.back {
							_, _ = x.GiveBack("zz", file)
						} else {
							x.hideIn("zz", file)
						}
					}
				}); err != nil {
					t.Fatal(err)
				}
				if !moved {
					break
				}
				if _, err := x.Find(file); err != nil || !x.has(layout.BlobPath(one)) {
					t.Errorf("before look %d: the blob is lost, %v", moves, err)
				}
			}
			if moves < 10 {
				t.Errorf("the second mark has only %d looks", moves)
			}
		})
	}
}

// manifestOf writes the manifest of an image whose layer is the given content, whose blobs and links may be hidden.
func (x *tree) manifestOf(content string) digest.Digest {
	x.t.Helper()
	return x.manifest("a", "", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString(content), Size: 1}})
}

// hideIn hides a file in the trash of another cycle, and removes the folders of a tag.
func (x *tree) hideIn(cycle, file string) {
	x.t.Helper()
	_, err := x.Hide(cycle, file)
	if p := layout.Parse(file); p.Kind == layout.Tag {
		err = errors.Join(err, os.RemoveAll(filepath.Join(x.Root(), layout.TagsOf(p.Repository), p.Name)))
	}
	if err != nil {
		x.t.Fatal(err)
	}
}
