package collect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// mover is a view that calls do once, before the n-th read.
type mover struct {
	mu   sync.Mutex
	left int
	do   func()
}

func (m *mover) set(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.do = do
}

func (m *mover) look() {
	m.mu.Lock()
	do := m.do
	if do != nil {
		m.left--
	}
	if m.left >= 0 {
		do = nil
	}
	if do != nil {
		m.do = nil
	}
	m.mu.Unlock()
	if do != nil {
		do()
	}
}

func (m *mover) Lstat(name string) (fs.FileInfo, error)     { m.look(); return os.Lstat(name) }
func (m *mover) ReadDir(name string) ([]fs.DirEntry, error) { m.look(); return os.ReadDir(name) }

// Another cycle hides or restores a tag, a revision or a layer link before each read of the second mark. What the file
// reaches must be kept, wherever the file is.
func TestR2ASecondCycleMovesARootDuringTheSecondMark(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		back   bool
		// root writes a file that keeps an image of which everything is hidden, or its layer, and returns its path.
		root func(x *tree, image, layer digest.Digest) (file string)
		// kept is set if the file keeps the image.
		kept bool
	}{
		{"it gives a tag back", true, func(x *tree, d, _ digest.Digest) string { x.Tag("a", "t", d); return layout.TagPath("a", "t") }, true},
		{"it hides a tag", false, func(x *tree, d, _ digest.Digest) string { x.Tag("a", "t", d); return layout.TagPath("a", "t") }, true},
		{"it gives a manifest back", true, func(x *tree, d, _ digest.Digest) string {
			file := x.Put(layout.RevisionPath("a", d), d.String())
			x.AgeFiles([]string{file}, "")
			return file
		}, true},
		{"it hides a manifest", false, func(x *tree, d, _ digest.Digest) string {
			file := x.Put(layout.RevisionPath("a", d), d.String())
			x.AgeFiles([]string{file}, "")
			return file
		}, true},
		{"it gives a lease back", true, func(x *tree, _, l digest.Digest) string { return x.Put(layout.LayerPath("a", l), l.String()) }, false},
		{"it hides a lease", false, func(x *tree, _, l digest.Digest) string { return x.Put(layout.LayerPath("a", l), l.String()) }, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			moves := 0
			for ; ; moves++ {
				view := &mover{left: moves}
				x := newTree(t, volume.Options{View: view})
				one, layer := x.Image("a", "", "1", ""), digest.FromString("1")
				x.Age()
				var file string
				moved := false
				if _, err := run(t.Context(), x.Volume, Options{Untagged: true, Grace: time.Hour, Dwell: time.Nanosecond, Workers: 1}, func(step, _ string) {
					switch step {
					case "giving back", "discarding":
						view.set(nil)
					case "waiting":
						file = tt.root(x, one, layer)
						if tt.back {
							x.hideIn("zz", file)
						}
						view.set(func() {
							moved = true
							if tt.back {
								_, _ = x.GiveBack("zz", file)
							} else {
								x.hideIn("zz", file)
							}
						})
					}
				}); err != nil {
					t.Fatal(err)
				}
				if !moved {
					break
				}
				kept := []string{layout.BlobPath(layer)}
				if tt.kept {
					kept = x.Files("a", "1", one)
				}
				for _, f := range append(kept, file) {
					if _, err := x.Find(f); err != nil {
						t.Errorf("before look %d: %v", moves, err)
					}
				}
			}
			if moves < 10 {
				t.Errorf("the second mark has only %d looks", moves)
			}
		})
	}
}

// hideIn hides a file in the trash of another cycle, and removes the folder of a tag.
func (x *tree) hideIn(cycle, file string) {
	x.T.Helper()
	_, err := x.Hide(cycle, file)
	if p := layout.Parse(file); p.Kind == layout.Tag {
		err = errors.Join(err, os.RemoveAll(filepath.Join(x.Root(), layout.TagsOf(p.Repository), p.Name)))
	}
	if err != nil {
		x.T.Fatal(err)
	}
}
