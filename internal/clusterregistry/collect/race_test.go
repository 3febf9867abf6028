package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// What a writer publishes between two steps of a cycle is kept, also by a writer that looks for nothing afterwards.
func TestR2WhatIsPublishedDuringACycleIsKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason, step string
		// publish is called at the first step of this name, on a tree with the untagged images 1 and 2 in "a", of which
		// 2 refers to 1, and an index of 1.
		publish func(x *tree, one, two, index digest.Digest)
		// kept are the images that it keeps, and the index.
		one, two, index bool
		named           bool
		// ageless is set if no file is young for the cycle.
		ageless bool
	}{
		{reason: "nothing is published", step: "waiting", publish: func(*tree, digest.Digest, digest.Digest, digest.Digest) {}},
		{reason: "a tag on a hidden manifest, and what refers to it", step: "waiting", one: true, two: true,
			publish: func(x *tree, one, _, _ digest.Digest) { x.tag("a", "t", one) }},
		{reason: "a tag on a hidden index", step: "waiting", one: true, two: true, index: true,
			publish: func(x *tree, _, _, index digest.Digest) { x.tag("a", "t", index) }},
		{reason: "a hidden manifest is pushed again", step: "waiting", two: true,
			publish: func(x *tree, _, two, _ digest.Digest) { x.write(layout.RevisionPath("a", two), two.String()) }},
		{reason: "a hidden manifest is pushed again, and is a root by its place alone", step: "waiting", two: true, ageless: true,
			publish: func(x *tree, _, two, _ digest.Digest) { x.write(layout.RevisionPath("a", two), two.String()) }},
		{reason: "a reader takes a hidden manifest back", step: "waiting", two: true, publish: func(x *tree, _, two, _ digest.Digest) {
			if _, err := x.Find(layout.RevisionPath("a", two)); err != nil {
				x.t.Fatal(err)
			}
		}},
		{reason: "a new index of a hidden child", step: "waiting", one: true, two: true, publish: func(x *tree, one, _, _ digest.Digest) { x.index("a", "", one, one) }},
		{reason: "a manifest is pushed again before it is hidden", step: "hiding", two: true,
			publish: func(x *tree, _, two, _ digest.Digest) { x.write(layout.RevisionPath("a", two), two.String()) }},
		{reason: "a hidden manifest is named", step: "waiting", two: true, named: true, publish: func(*tree, digest.Digest, digest.Digest, digest.Digest) {}},
		{reason: "a hidden manifest becomes young in the trash, which an old view had not shown", step: "waiting", two: true, publish: func(x *tree, _, two, _ digest.Digest) {
			cycles, err := x.Cycles()
			if err != nil || x.Touch(volume.HiddenPath(cycles[0], layout.RevisionPath("a", two))) != nil {
				x.t.Fatal(err)
			}
		}},
		{reason: "a second cycle hides a tag, and gives it back later", step: "waiting", one: true, two: true, publish: func(x *tree, one, _, _ digest.Digest) {
			x.tag("a", "t", one)
			_, err := x.Hide("level 1", layout.TagPath("a", "t"))
			if err := errors.Join(err, os.RemoveAll(filepath.Join(x.Root(), layout.TagsOf("a")))); err != nil {
				x.t.Fatal(err)
			}
		}},
		{reason: "a second cycle has hidden a manifest, and can give it back", step: "waiting", two: true, publish: func(x *tree, _, two, _ digest.Digest) {
			cycles, err := x.Cycles()
			if err != nil {
				x.t.Fatal(err)
			}
			file := layout.RevisionPath("a", two)
			hidden := x.write(volume.HiddenPath("zz", file), two.String())
			x.ageFiles([]string{hidden}, "")
			if err := x.Discard(cycles[0], file); err != nil {
				x.t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			x := newTree(t, volume.Options{})
			one := x.image("a", "", "1", "")
			two := x.image("a", "", "2", one)
			index := x.index("a", "", one)
			garbage := x.files("b", "3", x.image("b", "", "3", ""))
			x.age()
			var once sync.Once
			named := 0
			o := quick
			if tt.ageless {
				o.Grace = -time.Hour
			}
			o.Untagged, o.Named = true, func(context.Context) (func(string, digest.Digest) bool, error) {
				named++
				now := named
				return func(_ string, d digest.Digest) bool { return tt.named && now == 2 && d == two }, nil
			}
			if _, err := run(t.Context(), x.Volume, o, func(step, _ string) {
				if step == tt.step {
					once.Do(func() { tt.publish(x, one, two, index) })
				}
			}); err != nil {
				t.Fatal(err)
			}
			// The next cycle gives back what a second one had hidden.
			if r := x.collect(quick); strings.HasPrefix(tt.reason, "a second cycle") != (r.Adopted > 0) {
				t.Errorf("adopted %d files", r.Adopted)
			}
			var kept []string
			gone := garbage
			for _, of := range []struct {
				kept  bool
				files []string
			}{{tt.one, x.files("a", "1", one)}, {tt.two, x.files("a", "2", two)}, {tt.index, []string{layout.RevisionPath("a", index), layout.BlobPath(index)}}} {
				if of.kept {
					kept = append(kept, of.files...)
				} else {
					gone = append(gone, of.files...)
				}
			}
			x.must(tt.reason, kept, gone)
		})
	}
}

// lister is a view that does something once before a folder is listed.
type lister struct {
	folder string
	before func()
}

func (l *lister) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (l *lister) ReadDir(name string) ([]fs.DirEntry, error) {
	if before := l.before; before != nil && strings.HasSuffix(name, l.folder) {
		l.before = nil
		before()
	}
	return os.ReadDir(name)
}

// A push can come between the parts of a mark. An index that a tag points at has a child that was pushed after the
// revisions were listed, and whose layers are hidden.
func TestR2WhatIsPublishedDuringTheSecondMarkIsKept(t *testing.T) {
	t.Parallel()
	view := &lister{folder: layout.TagsOf("a")}
	x := newTree(t, volume.Options{View: view})
	layer, config := x.layer("a", "1"), x.layer("a", "c")
	x.image("a", "t", "2", "")
	gone := layout.BlobPath(x.layer("a", "3").Digest)
	x.age()
	kept := []string{layout.LayerPath("a", layer.Digest), layout.BlobPath(layer.Digest), layout.LayerPath("a", config.Digest), layout.BlobPath(config.Digest)}
	if _, err := run(t.Context(), x.Volume, Options{Grace: time.Hour, Dwell: time.Nanosecond, Workers: 1}, func(step, _ string) {
		if step != "waiting" {
			return
		}
		view.before = func() {
			child := x.manifest("a", "", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer}})
			x.index("a", "i", child)
		}
	}); err != nil {
		t.Fatal(err)
	}
	x.must("", kept, []string{gone})
}

// A push leases a blob by its layer link, whenever it does so.
func TestR2ALeaseDuringACycleKeepsTheBlob(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"hiding", "hidden", "waiting"} {
		x := newTree(t, volume.Options{})
		d := x.layer("a", "1").Digest
		gone := layout.BlobPath(x.layer("a", "2").Digest)
		x.image("a", "t", "3", "")
		x.age()
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
		x.must(step, []string{link, layout.BlobPath(d)}, []string{gone})
	}
}

// faulty is a view that fails for names with a part, once it is on.
type faulty struct {
	part string
	on   atomic.Bool
}

func (f *faulty) fails(name string) bool { return f.on.Load() && strings.Contains(name, f.part) }

func (f *faulty) Lstat(name string) (fs.FileInfo, error) {
	if f.fails(name) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: syscall.EIO}
	}
	return os.Lstat(name)
}

func (f *faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if f.fails(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.EIO}
	}
	return os.ReadDir(name)
}

func TestR3WhatCannotBeReadEndsTheCycle(t *testing.T) {
	t.Parallel()
	one := digest.FromString("config of 1")
	for _, tt := range []struct{ reason, part string }{
		{"the folder of a repository", "/repositories/a"},
		{"the folder of the tags", "/_manifests/tags"},
		{"the link of a revision", "/_manifests/revisions/sha256/"},
		{"the folder of the revisions", "/_manifests/revisions"},
		{"the folder of the layer links", "/_layers/sha256"},
		{"the folder of the referrers", "/_manifests/referrers"},
		{"a layer link that nothing needs", "/_layers/sha256/" + digest.FromString("loose").Encoded()},
		{"a folder of blobs", "/blobs/sha256/" + one.Encoded()[:2]},
		{"a blob that nothing needs", digest.FromString("loose").Encoded() + "/data"},
	} {
		for _, again := range []bool{false, true} {
			if again && strings.Contains(tt.part, "referrers") || again && strings.Contains(tt.part, "/blobs/") {
				continue // The second mark needs only what keeps.
			}
			view := &faulty{part: tt.part}
			x := newTree(t, volume.Options{View: view})
			x.image("a", "t", "1", "")
			x.layer("a", "loose")
			x.image("b", "", "2", "")
			x.write(layout.ReferrerPath("a", one, one), "x")
			x.age()
			before := x.all()
			view.on.Store(!again)
			o := quick
			o.Untagged = true
			r, err := run(t.Context(), x.Volume, o, func(step, _ string) {
				if step == "waiting" {
					view.on.Store(true)
				}
			})
			view.on.Store(false)
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "the next collection retries") {
				t.Errorf("%s, second mark %t: %v", tt.reason, again, err)
			}
			if hidden := r.Hidden != (Counts{}); hidden != again {
				t.Errorf("%s, second mark %t: hid %+v", tt.reason, again, r.Hidden)
			}
			if again { // What the view does not show is given back by the next cycle.
				x.collect(quick)
			}
			x.same(fmt.Sprintf("%s, second mark %t", tt.reason, again), before)
		}
	}
}

func TestR3LinksThatLeadElsewhereEndTheCycle(t *testing.T) {
	t.Parallel()
	one := digest.FromString("1")
	for _, tt := range []struct{ reason, file string }{
		{"a tag that cannot be opened", layout.TagPath("a", "u")},
		{"a manifest that cannot be opened", layout.BlobPath(one)},
		{"a repository that is a symbolic link", layout.Repositories + "/link"},
	} {
		x := newTree(t, volume.Options{})
		x.image("a", "t", "0", "")
		x.write(layout.RevisionPath("a", one), one.String())
		x.write(tt.file, "")
		x.remove(tt.file)
		x.blob("loose")
		if err := os.Symlink(filepath.Base(tt.file), filepath.Join(x.Root(), tt.file)); err != nil {
			t.Fatal(err)
		}
		before := x.all()
		x.ageFiles(before, tt.file)
		if _, err := Run(t.Context(), x.Volume, quick); err == nil || !strings.Contains(err.Error(), tt.file) {
			t.Errorf("%s: %v", tt.reason, err)
		}
		x.same(tt.reason, before)
	}
}

func (x *tree) ageFiles(files []string, except string) {
	old := time.Now().Add(-48 * time.Hour)
	for _, f := range files {
		if f == except {
			continue
		}
		if err := os.Chtimes(filepath.Join(x.Root(), f), old, old); err != nil {
			x.t.Fatal(err)
		}
	}
}

// A cycle whose context ends gives everything back, whatever it was doing.
func TestR2ACancelledCycleGivesEverythingBack(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"hidden", "waiting"} {
		x := newTree(t, volume.Options{})
		x.image("a", "t", "1", "")
		x.image("a", "", "2", "")
		x.age()
		before := x.all()
		ctx, cancel := context.WithCancel(t.Context())
		o := quick
		o.Untagged, o.Dwell = true, time.Hour
		_, err := run(ctx, x.Volume, o, func(now, _ string) {
			if now == step {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was given back") {
			t.Errorf("%s: %v", step, err)
		}
		x.same(step, before)
	}
}

// story is a tree with something of everything, and a tag that a writer makes while the cycle waits.
func story(t *testing.T) (x *tree, kept, gone []string) {
	x = newTree(t, volume.Options{})
	one, two, three := x.image("a", "", "1", ""), x.image("a", "t", "2", ""), x.image("b", "", "3", "")
	index := x.index("a", "i", one)
	four := x.image("b", "", "4", three)
	x.write(layout.ReferrerPath("b", three, four), four.String())
	loose := x.layer("a", "loose").Digest
	upload := x.write(layout.UploadsOf("b")+"/id/data", "12")
	temporary := x.write(layout.BlobPath(one)+".x.tmp", "12")
	kept = append(join(x.files("a", "1", one), x.files("a", "2", two)), layout.RevisionPath("a", index), layout.BlobPath(index))
	gone = append(join(x.files("b", "3", three), x.files("b", "4", four)), layout.LayerPath("a", loose), layout.BlobPath(loose), upload, temporary, layout.ReferrerPath("b", three, four))
	x.age()
	return x, kept, gone
}

var errKilled = errors.New("killed")

// killed runs a cycle that dies at its n-th step, and reports whether it had so many.
func killed(x *tree, n int, at func(step int)) (died bool) {
	o := quick
	o.Untagged, o.Workers, o.Dwell = true, 1, time.Nanosecond
	defer func() {
		if p := recover(); p == errKilled { //nolint:errorlint // It is the value that was thrown.
			died = true
		} else if p != nil {
			panic(p)
		}
	}()
	step := 0
	if _, err := run(x.t.Context(), x.Volume, o, func(string, string) {
		if at != nil {
			at(step)
		}
		if step++; step > n {
			panic(errKilled)
		}
	}); err != nil {
		x.t.Fatal(err)
	}
	return false
}

// A cycle is killed at each of its steps. What is reachable is there for whoever looks, and is in its place after the
// next cycle; what is not goes in the end.
func TestR2KilledAtEachStep(t *testing.T) {
	t.Parallel()
	steps := 0
	for died := true; died; steps++ {
		x, kept, gone := story(t)
		died = killed(x, steps, nil)
		if steps%2 == 0 { // Half of the trees are read before the next cycle.
			for _, file := range kept {
				if _, err := x.Find(file); err != nil {
					t.Errorf("killed at step %d: %v", steps, err)
				}
			}
		}
		o := quick
		o.Untagged, o.Dwell = true, time.Nanosecond
		x.collect(o)
		x.must(fmt.Sprintf("killed at step %d, the next cycle", steps), kept, nil)
		x.age()
		x.collect(o)
		x.must(fmt.Sprintf("killed at step %d, the cycle after", steps), kept, gone)
		if empty := x.empty(); len(empty) > 0 {
			t.Errorf("killed at step %d: empty folders are left: %v", steps, empty)
		}
	}
	t.Logf("killed at %d steps", steps-1)
	if steps < 100 {
		t.Errorf("the cycle has only %d steps", steps)
	}
}

// The same, with a writer that tags a manifest that may be hidden, at each step: it publishes, then looks.
func TestR2TaggedAtEachStep(t *testing.T) {
	t.Parallel()
	kept, refused := 0, 0
	for n := 0; ; n++ {
		x, reachable, _ := story(t)
		three := digest.Digest("")
		for _, f := range x.all() {
			if p := layout.Parse(f); p.Kind == layout.Referrer {
				three = p.Subject
			}
		}
		all, done, acknowledged := x.files("b", "3", three), false, true
		killed(x, 1<<30, func(step int) {
			if step != n {
				return
			}
			done = true
			x.tag("b", "t", three)
			for _, f := range all {
				if _, err := x.Find(f); err != nil {
					acknowledged = false
				}
			}
		})
		if !done {
			break
		}
		if !acknowledged {
			refused++
			all = nil
		}
		kept++
		x.must(fmt.Sprintf("tagged at step %d", n), append(reachable, all...), nil)
		x.age()
		o := quick
		o.Untagged, o.Dwell = true, time.Nanosecond
		x.collect(o)
		x.must(fmt.Sprintf("tagged at step %d, the next cycle", n), append(reachable, all...), nil)
	}
	t.Logf("%d of %d tags came too late and were refused", refused, kept)
	if refused == 0 || refused == kept {
		t.Errorf("%d of %d tags were refused", refused, kept)
	}
}

// Two cycles run at once, for which every file is old, while writers push the same images and move their tags. What
// was acknowledged last is there.
func TestR2TwoCyclesAtOnceAndWriters(t *testing.T) {
	x := newTree(t, volume.Options{})
	old := x.files("old", "x", x.image("old", "t", "x", ""))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var cycles, pushes, refused, deleted atomic.Int64
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				r, err := run(ctx, x.Volume, Options{Untagged: true, Grace: -time.Hour, Dwell: time.Millisecond, Workers: 2}, func(string, string) {})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				cycles.Add(1)
				deleted.Add(int64(r.Deleted.Blobs))
			}
		})
	}
	tagged := make([][]string, 4)
	for w := range tagged {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			repository := fmt.Sprintf("r%d", w%2)
			for ctx.Err() == nil {
				content := fmt.Sprint(random.IntN(3))
				d := x.image(repository, fmt.Sprintf("t%d", w), content, "")
				tagged[w] = nil
				files := x.files(repository, content, d)
				pushes.Add(1)
				if slices.ContainsFunc(files, func(f string) bool { _, err := x.Find(f); return err != nil }) {
					refused.Add(1)
					continue
				}
				tagged[w] = append(files, layout.TagPath(repository, fmt.Sprintf("t%d", w)))
				for range random.IntN(3) {
					for _, f := range tagged[w] {
						if _, err := x.Find(f); err != nil {
							t.Errorf("lost %s while it was tagged: %v", f, err)
						}
					}
				}
			}
		})
	}
	all.Wait()
	x.collect(Options{Dwell: time.Nanosecond})
	x.must("in the end", append(slices.Concat(tagged...), old...), nil)
	t.Logf("%d cycles deleted %d blobs during %d pushes, of which %d were refused", cycles.Load(), deleted.Load(), pushes.Load(), refused.Load())
}
