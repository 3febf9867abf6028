package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func (x *tree) unreferenced() *Unreferenced {
	x.t.Helper()
	u, err := NewUnreferenced(x.Volume, quick)
	if err != nil {
		x.t.Fatal(err)
	}
	return u
}

// list is the whole list below a folder, by pages of so many.
func (x *tree) list(folder string, most int) (names []string) {
	x.t.Helper()
	u := x.unreferenced()
	for after, pages := "", 0; ; pages++ {
		page, next, err := u.List(x.t.Context(), folder, after, most)
		if err != nil || len(page) > most || pages > 100 {
			x.t.Fatalf("page %d with %d of %d: %v", pages, len(page), most, err)
		}
		for _, r := range page {
			names = append(names, r.Repository+"@"+r.Digest.String())
		}
		if next == "" {
			return names
		}
		after = next
	}
}

// asks asks for the deletion of everything that nothing references.
func (x *tree) asks() (asked []string) {
	x.t.Helper()
	asked = x.list("", 100)
	for _, name := range asked {
		repository, d, _ := strings.Cut(name, "@")
		if err := x.unreferenced().Delete(repository, digest.Digest(d)); err != nil {
			x.t.Fatal(err)
		}
	}
	return asked
}

func TestWhatNothingReferencesIsListed(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	overwritten := x.image("acme/upf", "", "overwritten", "")
	x.image("acme/upf", "1", "tagged", "")
	child, other := x.image("acme/smf", "", "child", ""), x.image("acme/smf", "", "other child", "")
	index := x.index("acme/smf", "", child, other)
	shared := x.image("acme/smf", "", "shared child", "")
	x.index("acme/smf", "2", shared)
	subject := x.image("acme/smf", "3", "subject", "")
	x.image("acme/smf", "", "signature of what stays", subject)
	signature := x.image("acme/upf", "", "signature", overwritten)
	nested := x.image("acme/upf/nested", "", "nested", "")
	outside := x.image("acmeother/upf", "", "outside", "")
	broken := x.image("acme/broken", "", "broken", "")
	x.image("acme/broken", "", "beside broken", "")
	waiting := x.image("acme/upf", "", "child of what is young", "")
	x.age()
	x.image("acme/upf", "", "young", "")
	x.index("acme/upf", "", waiting)
	x.remove(layout.BlobPath(broken))
	at := func(repository string, ds ...digest.Digest) (names []string) {
		for _, d := range ds {
			names = append(names, repository+"@"+d.String())
		}
		slices.Sort(names)
		return names
	}
	want := slices.Concat(at("acme/smf", child, other, index), at("acme/upf", overwritten, signature), at("acme/upf/nested", nested))
	for _, most := range []int{1, 2, 3, 100} {
		if diff := cmp.Diff(want, x.list("acme", most)); diff != "" {
			t.Errorf("by pages of %d: -want +got\n%s", most, diff)
		}
	}
	if diff := cmp.Diff(append(want, at("acmeother/upf", outside)...), x.list("", 100)); diff != "" {
		t.Errorf("of all: -want +got\n%s", diff)
	}
	if err := x.unreferenced().Delete("acme/upf", overwritten); err != nil {
		t.Fatal(err)
	}
	if got := x.list("acme/upf", 100); slices.Contains(got, at("acme/upf", overwritten)[0]) {
		t.Errorf("it lists what is about to be deleted: %v", got)
	}
	if got := x.list("nobody", 100); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

// What is asked for goes with the next cycle, and nothing else.
func TestADeletionThatWasAskedForIsDone(t *testing.T) {
	t.Parallel()
	x, kept, _ := story(t)
	stays := x.image("b", "", "not asked for", "")
	x.age()
	kept = append(kept, x.files("b", "not asked for", stays)...)
	three, four := digest.FromString("3"), digest.FromString("4")
	gone := []string{layout.BlobPath(three), layout.LayerPath("b", three), layout.BlobPath(four), layout.LayerPath("b", four)}
	for _, name := range x.list("b", 100) {
		d := digest.Digest(strings.TrimPrefix(name, "b@"))
		if d == stays {
			continue
		}
		if err := x.unreferenced().Delete("b", d); err != nil {
			t.Fatal(err)
		}
		gone = append(gone, layout.RevisionPath("b", d), layout.BlobPath(d))
	}
	dry := quick
	dry.DryRun = true
	if r := x.collect(dry); r.Candidates.Revisions != 2 {
		t.Errorf("a dry run announces %+v", r.Candidates)
	}
	if r := x.collect(quick); r.Deleted.Revisions != 2 {
		t.Errorf("it deleted %+v", r.Deleted)
	}
	x.must("asked for", kept, gone)
	if left := x.requests(); len(left) > 0 {
		t.Errorf("the requests are not forgotten: %v", left)
	}
}

// requests are the files that ask for deletions.
func (x *tree) requests() []string {
	return slices.DeleteFunc(x.all(), func(f string) bool { return !strings.HasPrefix(f, volume.Deletions) })
}

// A request is forgotten long before the grace period is over: the purge that asked may have died before it looked again.
func TestR2ADeletionThatWasAskedForLongAgoIsNotDone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ago  time.Duration
		goes bool
	}{{requestLife - time.Minute, true}, {requestLife + time.Minute, false}} {
		x := newTree(t, volume.Options{})
		one := x.image("a", "", "1", "")
		x.age()
		u, err := NewUnreferenced(x.Volume, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Delete("a", one); err != nil {
			t.Fatal(err)
		}
		asked := time.Now().Add(-tt.ago)
		if err := os.Chtimes(filepath.Join(x.Root(), deletionPath("a", one)), asked, asked); err != nil {
			t.Fatal(err)
		}
		x.collect(Options{Dwell: time.Nanosecond})
		if x.has(layout.RevisionPath("a", one)) == tt.goes {
			t.Errorf("asked for %s ago, it goes: %t", tt.ago, !tt.goes)
		}
		if left := x.requests(); len(left) > 0 {
			t.Errorf("the request is not forgotten: %v", left)
		}
	}
}

// What happens between the request and the cycle counts, and the cycle forgets the request.
func TestR2ADeletionThatWasAskedForDoesNotTakeWhatIsUsed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		use    func(x *tree, one digest.Digest)
	}{
		{"it is pushed again by digest", func(x *tree, one digest.Digest) { x.write(layout.RevisionPath("a", one), one.String()) }},
		{"it is tagged", func(x *tree, one digest.Digest) { x.tag("a", "1", one) }},
		{"an index of it is pushed by digest", func(x *tree, one digest.Digest) { x.index("a", "", one) }},
		{"no cycle comes within the grace period", func(x *tree, _ digest.Digest) { x.age() }},
		{"a collection that died gives it back", func(x *tree, one digest.Digest) {
			if _, err := x.Hide("earlier", layout.RevisionPath("a", one)); err != nil {
				x.t.Fatal(err)
			}
		}},
	} {
		x := newTree(t, volume.Options{})
		one := x.image("a", "", "1", "")
		x.age()
		x.asks()
		tt.use(x, one)
		x.collect(quick)
		x.must(tt.reason, x.files("a", "1", one), nil)
		if left := x.requests(); len(left) > 0 {
			t.Errorf("%s: the request is not forgotten: %v", tt.reason, left)
		}
		x.age()
		x.collect(quick)
		x.must(tt.reason+", a day later", x.files("a", "1", one), nil)
	}
}

func TestADeletionIsNotTakenFor(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	one := x.image("a", "", "1", "")
	if err := x.unreferenced().Delete("a", one); !errors.Is(err, ErrYoung) {
		t.Errorf("what was pushed just now: %v", err)
	}
	if err := x.unreferenced().Delete("a", digest.FromString("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	if left := x.requests(); len(left) > 0 {
		t.Errorf("requests are left: %v", left)
	}
}

// The cycle is killed at each of its steps: nothing that is used is lost, and what was asked for goes in the end.
func TestR2AnAskedDeletionIsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	steps := 0
	for died := true; died; steps += 2 {
		x, kept, gone := story(t)
		if asked := x.asks(); len(asked) != 2 {
			t.Fatalf("asked for %v", asked)
		}
		died = killedWith(x, Options{}, steps, nil)
		for _, file := range kept {
			if _, err := x.Find(file); err != nil {
				t.Errorf("killed at step %d: %v", steps, err)
			}
		}
		x.collect(quick)
		x.must(fmt.Sprintf("killed at step %d, the next cycle", steps), kept, nil)
		for range 2 { // what a cycle gave back is young, and the request for it is forgotten
			x.age()
			x.asks()
			x.collect(quick)
		}
		x.must(fmt.Sprintf("killed at step %d, in the end", steps), kept, gone)
	}
	if steps < 60 {
		t.Errorf("the cycle has only %d steps", steps)
	}
}

// An index of what is about to be deleted is pushed by digest at each step of the cycle: once it is acknowledged, its
// child stays.
func TestR2AnIndexOfWhatIsAskedForIsPushedAtEachStep(t *testing.T) {
	t.Parallel()
	acknowledged, refused := 0, 0
	for n := 0; ; n++ {
		x := newTree(t, volume.Options{})
		one := x.image("a", "", "1", "")
		x.age()
		x.asks()
		files, pushed, whole := x.files("a", "1", one), false, true
		killedWith(x, Options{}, 1<<30, func(step int) {
			if step != n {
				return
			}
			pushed = true
			index := x.index("a", "", one)
			files = append(files, layout.RevisionPath("a", index), layout.BlobPath(index))
			for _, f := range files {
				if _, err := x.Find(f); err != nil {
					whole = false
				}
			}
		})
		if !pushed {
			break
		}
		if !whole {
			refused++
			continue
		}
		acknowledged++
		x.must(fmt.Sprintf("pushed at step %d", n), files, nil)
		x.collect(Options{Grace: time.Nanosecond, Dwell: time.Nanosecond})
		x.must(fmt.Sprintf("pushed at step %d, the next cycle", n), files, nil)
	}
	if acknowledged == 0 || refused == 0 {
		t.Errorf("%d pushes were acknowledged and %d refused", acknowledged, refused)
	}
}

func TestR3WhatCannotBeReadIsNotListed(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"/_manifests/tags", "/_manifests/revisions/sha256/", "/repositories/a"} {
		view := &faulty{part: part}
		x := newTree(t, volume.Options{View: view})
		x.image("a", "", "1", "")
		x.age()
		view.on.Store(true)
		if page, _, err := x.unreferenced().List(t.Context(), "", "", 10); err == nil || page != nil {
			t.Errorf("where %s cannot be read: %v, %v", part, page, err)
		}
	}
}
