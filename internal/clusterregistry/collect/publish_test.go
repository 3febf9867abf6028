package collect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// A cycle must keep what a writer publishes between two of its steps, even if the writer checks nothing afterwards.
func TestR2WhatIsPublishedDuringACycleIsKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason, step string
		// publish is called at the first step of this name, on a tree with the
		// untagged images 1 and 2 in "a", of which 2 refers to 1, and an index of 1.
		publish func(x *tree, one, two, index digest.Digest)
		// one, two and index are set if the cycle keeps that image or the index.
		one, two, index bool
		// ageless is set if no file is young for the cycle.
		ageless bool
	}{
		{reason: "nothing is published", step: "waiting", publish: func(*tree, digest.Digest, digest.Digest, digest.Digest) {}},
		{reason: "a tag on a hidden manifest, and what refers to it", step: "waiting", one: true, two: true,
			publish: func(x *tree, one, _, _ digest.Digest) { x.Tag("a", "t", one) }},
		{reason: "a tag on a hidden index", step: "waiting", one: true, two: true, index: true,
			publish: func(x *tree, _, _, index digest.Digest) { x.Tag("a", "t", index) }},
		{reason: "a hidden manifest is pushed again", step: "waiting", two: true,
			publish: func(x *tree, _, two, _ digest.Digest) { x.Put(layout.RevisionPath("a", two), two.String()) }},
		{reason: "a hidden manifest is pushed again, and is a root by its place alone", step: "waiting", two: true, ageless: true,
			publish: func(x *tree, _, two, _ digest.Digest) { x.Put(layout.RevisionPath("a", two), two.String()) }},
		{reason: "a reader takes a hidden manifest back", step: "waiting", two: true, publish: func(x *tree, _, two, _ digest.Digest) {
			if _, err := x.Find(layout.RevisionPath("a", two)); err != nil {
				x.T.Fatal(err)
			}
		}},
		{reason: "a new index of a hidden child", step: "waiting", one: true, two: true, publish: func(x *tree, one, _, _ digest.Digest) { x.Index("a", "", one, one) }},
		{reason: "a manifest is pushed again before it is hidden", step: "hiding", two: true,
			publish: func(x *tree, _, two, _ digest.Digest) { x.Put(layout.RevisionPath("a", two), two.String()) }},
		{reason: "a hidden manifest becomes young in the trash, which an old view had not shown", step: "waiting", two: true, publish: func(x *tree, _, two, _ digest.Digest) {
			cycles, err := x.Cycles()
			if err != nil || x.Touch(volume.HiddenPath(cycles[0], layout.RevisionPath("a", two))) != nil {
				x.T.Fatal(err)
			}
		}},
		{reason: "a second cycle hides a tag, and gives it back later", step: "waiting", one: true, two: true, publish: func(x *tree, one, _, _ digest.Digest) {
			x.Tag("a", "t", one)
			_, err := x.Hide("level 1", layout.TagPath("a", "t"))
			if err := errors.Join(err, os.RemoveAll(filepath.Join(x.Root(), layout.TagsOf("a")))); err != nil {
				x.T.Fatal(err)
			}
		}},
		{reason: "a second cycle has hidden a manifest, and can give it back", step: "waiting", two: true, publish: func(x *tree, _, two, _ digest.Digest) {
			cycles, err := x.Cycles()
			if err != nil {
				x.T.Fatal(err)
			}
			file := layout.RevisionPath("a", two)
			hidden := x.Put(volume.HiddenPath("zz", file), two.String())
			x.AgeFiles([]string{hidden}, "")
			if err := x.Discard(cycles[0], file); err != nil {
				x.T.Fatal(err)
			}
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			x := newTree(t, volume.Options{})
			one := x.Image("a", "", "1", "")
			two := x.Image("a", "", "2", one)
			index := x.Index("a", "", one)
			garbage := x.Files("b", "3", x.Image("b", "", "3", ""))
			x.Age()
			var once sync.Once
			o := quick
			if tt.ageless {
				o.Grace = -time.Hour
			}
			o.Untagged = true
			if _, err := run(t.Context(), x.Volume, o, func(step, _ string) {
				if step == tt.step {
					once.Do(func() { tt.publish(x, one, two, index) })
				}
			}); err != nil {
				t.Fatal(err)
			}
			// The next cycle restores what a second one had hidden.
			if r := x.collect(quick); strings.HasPrefix(tt.reason, "a second cycle") != (r.Adopted > 0) {
				t.Errorf("adopted %d files", r.Adopted)
			}
			var kept []string
			gone := garbage
			for _, of := range []struct {
				kept  bool
				files []string
			}{{tt.one, x.Files("a", "1", one)}, {tt.two, x.Files("a", "2", two)}, {tt.index, []string{layout.RevisionPath("a", index), layout.BlobPath(index)}}} {
				if of.kept {
					kept = append(kept, of.files...)
				} else {
					gone = append(gone, of.files...)
				}
			}
			x.Must(tt.reason, kept, gone)
		})
	}
}

// lister is a view that calls a function once before a folder is listed.
type lister struct {
	folder string
	before atomic.Pointer[func()]
}

func (l *lister) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (l *lister) ReadDir(name string) ([]fs.DirEntry, error) {
	if strings.HasSuffix(name, l.folder) {
		if before := l.before.Swap(nil); before != nil {
			(*before)()
		}
	}
	return os.ReadDir(name)
}

// A push can happen between the parts of a mark: here a tagged index has a child
// that was pushed after the revisions were listed, and whose layers are hidden.
func TestR2WhatIsPublishedDuringTheSecondMarkIsKept(t *testing.T) {
	t.Parallel()
	view := &lister{folder: layout.TagsOf("a")}
	x := newTree(t, volume.Options{View: view})
	layer, config := x.Layer("a", "1"), x.Layer("a", "c")
	x.Image("a", "t", "2", "")
	gone := layout.BlobPath(x.Layer("a", "3").Digest)
	x.Age()
	kept := []string{layout.LayerPath("a", layer.Digest), layout.BlobPath(layer.Digest), layout.LayerPath("a", config.Digest), layout.BlobPath(config.Digest)}
	if _, err := run(t.Context(), x.Volume, Options{Grace: time.Hour, Dwell: time.Nanosecond, Workers: 1}, func(step, _ string) {
		if step != "waiting" {
			return
		}
		push := func() {
			child := x.Manifest("a", "", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer}})
			x.Index("a", "i", child)
		}
		view.before.Store(&push)
	}); err != nil {
		t.Fatal(err)
	}
	x.Must("", kept, []string{gone})
}

// Making a layer link young at any step of a cycle must keep the blob for the push.
func TestR2ALeaseDuringACycleKeepsTheBlob(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	d := x.Blob("in the trash")
	x.Age()
	if _, err := run(t.Context(), x.Volume, quick, func(step, _ string) {
		if cycles, err := x.Cycles(); step == "waiting" && (err != nil || x.Touch(volume.HiddenPath(cycles[0], layout.BlobPath(d))) != nil) {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	x.Must("a blob that is young in the trash", []string{layout.BlobPath(d)}, nil)
	for _, step := range []string{"hiding", "hidden", "waiting"} {
		x := newTree(t, volume.Options{})
		d := x.Layer("a", "1").Digest
		gone := layout.BlobPath(x.Layer("a", "2").Digest)
		x.Image("a", "t", "3", "")
		x.Age()
		link := layout.LayerPath("a", d)
		var once sync.Once
		if _, err := run(t.Context(), x.Volume, quick, func(now, file string) {
			if now == step && (file == link || file == "") {
				once.Do(func() {
					if _, err := x.Find(link); err != nil || x.Touch(link) != nil {
						t.Error("no lease", err)
					}
				})
			}
		}); err != nil {
			t.Fatal(err)
		}
		x.Must(step, []string{link, layout.BlobPath(d)}, []string{gone})
	}
}

// The second mark must read a repository that is only in the trash.
func TestR2ARepositoryThatIsOnlyInTheTrash(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	one := x.Image("a", "", "1", "")
	x.Age()
	o := quick
	o.Untagged = true
	if _, err := run(t.Context(), x.Volume, o, func(step, _ string) {
		if step == "waiting" {
			cycles, err := x.Cycles()
			if err := errors.Join(err, os.RemoveAll(filepath.Join(x.Root(), layout.Repositories, "a")), x.Touch(volume.HiddenPath(cycles[0], layout.RevisionPath("a", one)))); err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	x.Must("", x.Files("a", "1", one), nil)
}
