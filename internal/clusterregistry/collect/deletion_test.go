package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func (x *tree) unreferenced() *mark.Unreferenced {
	x.T.Helper()
	u, err := NewUnreferenced(x.Volume, quick)
	if err != nil {
		x.T.Fatal(err)
	}
	return u
}

// list returns the complete list below a folder.
func (x *tree) list(folder string) []mark.Revision {
	x.T.Helper()
	found, next, err := x.unreferenced().List(x.T.Context(), folder, "", 100)
	if err != nil || next != "" {
		x.T.Fatalf("%d are not all: %v", len(found), err)
	}
	return found
}

// asks requests the deletion of everything that nothing references.
func (x *tree) asks() (asked []mark.Revision) {
	x.T.Helper()
	asked = x.list("")
	for _, r := range asked {
		if err := x.unreferenced().Delete(r.Repository, r.Digest); err != nil {
			x.T.Fatal(err)
		}
	}
	return asked
}

// The next cycle must delete what was requested, and nothing else.
func TestADeletionThatWasAskedForIsDone(t *testing.T) {
	t.Parallel()
	x, kept, _ := story(t)
	stays := x.Image("b", "", "not asked for", "")
	x.Age()
	kept = append(kept, x.Files("b", "not asked for", stays)...)
	three, four := digest.FromString("3"), digest.FromString("4")
	gone := []string{layout.BlobPath(three), layout.LayerPath("b", three), layout.BlobPath(four), layout.LayerPath("b", four)}
	for _, r := range x.list("b") {
		d := r.Digest
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
	x.Must("asked for", kept, gone)
	if left := x.requests(); len(left) > 0 {
		t.Errorf("the requests are not forgotten: %v", left)
	}
}

// requests returns the files that request deletions.
func (x *tree) requests() []string {
	return slices.DeleteFunc(x.All(), func(f string) bool { return !strings.HasPrefix(f, volume.Deletions) })
}

// A request must expire long before the grace period ends: the purge that requested
// the deletion may have died before it checked again what needs the revision.
func TestR2ADeletionThatWasAskedForLongAgoIsNotDone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ago  time.Duration
		goes bool
	}{{14 * time.Minute, true}, {16 * time.Minute, false}} {
		x := newTree(t, volume.Options{})
		one := x.Image("a", "", "1", "")
		x.Age()
		u, err := NewUnreferenced(x.Volume, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Delete("a", one); err != nil {
			t.Fatal(err)
		}
		asked := time.Now().Add(-tt.ago)
		if err := os.Chtimes(filepath.Join(x.Root(), volume.Deletions, layout.RevisionPath("a", one)), asked, asked); err != nil {
			t.Fatal(err)
		}
		x.collect(Options{Dwell: time.Nanosecond})
		if x.Has(layout.RevisionPath("a", one)) == tt.goes {
			t.Errorf("asked for %s ago, it goes: %t", tt.ago, !tt.goes)
		}
		if left := x.requests(); len(left) > 0 {
			t.Errorf("the request is not forgotten: %v", left)
		}
	}
}

// A use between the request and the cycle must keep the revision, and the cycle must forget the request.
func TestR2ADeletionThatWasAskedForDoesNotTakeWhatIsUsed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		use    func(x *tree, one digest.Digest)
	}{
		{"it is pushed again by digest", func(x *tree, one digest.Digest) { x.Put(layout.RevisionPath("a", one), one.String()) }},
		{"it is tagged", func(x *tree, one digest.Digest) { x.Tag("a", "1", one) }},
		{"an index of it is pushed by digest", func(x *tree, one digest.Digest) { x.Index("a", "", one) }},
		{"no cycle comes within the grace period", func(x *tree, _ digest.Digest) { x.Age() }},
		{"a collection that died gives it back", func(x *tree, one digest.Digest) {
			if _, err := x.Hide("earlier", layout.RevisionPath("a", one)); err != nil {
				x.T.Fatal(err)
			}
		}},
	} {
		x := newTree(t, volume.Options{})
		one := x.Image("a", "", "1", "")
		x.Age()
		x.asks()
		tt.use(x, one)
		x.collect(quick)
		x.Must(tt.reason, x.Files("a", "1", one), nil)
		if left := x.requests(); len(left) > 0 {
			t.Errorf("%s: the request is not forgotten: %v", tt.reason, left)
		}
		x.Age()
		x.collect(quick)
		x.Must(tt.reason+", a day later", x.Files("a", "1", one), nil)
	}
}

// The cycle is killed at each of its steps: nothing that is used
// must be lost, and what was requested must be deleted in the end.
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
		x.Must(fmt.Sprintf("killed at step %d, the next cycle", steps), kept, nil)
		for range 2 { // what a cycle restored is young, and its request is forgotten
			x.Age()
			x.asks()
			x.collect(quick)
		}
		x.Must(fmt.Sprintf("killed at step %d, in the end", steps), kept, gone)
	}
	if steps < 60 {
		t.Errorf("the cycle has only %d steps", steps)
	}
}

// An index of a manifest that is about to be deleted is pushed by digest at
// each step of the cycle: if the push is acknowledged, its child must stay.
func TestR2AnIndexOfWhatIsAskedForIsPushedAtEachStep(t *testing.T) {
	t.Parallel()
	acknowledged, refused := 0, 0
	for n := 0; ; n++ {
		x := newTree(t, volume.Options{})
		one := x.Image("a", "", "1", "")
		x.Age()
		x.asks()
		files, pushed, whole := x.Files("a", "1", one), false, true
		killedWith(x, Options{}, 1<<30, func(step int) {
			if step != n {
				return
			}
			pushed = true
			index := x.Index("a", "", one)
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
		x.Must(fmt.Sprintf("pushed at step %d", n), files, nil)
		x.collect(Options{Grace: time.Nanosecond, Dwell: time.Nanosecond})
		x.Must(fmt.Sprintf("pushed at step %d, the next cycle", n), files, nil)
	}
	if acknowledged == 0 || refused == 0 {
		t.Errorf("%d pushes were acknowledged and %d refused", acknowledged, refused)
	}
}
