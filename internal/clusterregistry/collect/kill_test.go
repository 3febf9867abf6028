package collect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// story is a tree with an example of everything that a cycle keeps or deletes.
func story(t *testing.T) (x *tree, kept, gone []string) {
	x = newTree(t, volume.Options{})
	one, two, three := x.Image("a", "", "1", ""), x.Image("a", "t", "2", ""), x.Image("b", "", "3", "")
	index := x.Index("a", "i", one)
	four := x.Image("b", "", "4", three)
	x.Put(layout.ReferrerPath("b", three, four), four.String())
	loose := x.Layer("a", "loose").Digest
	upload := x.Put(layout.UploadsOf("b")+"/id/data", "12")
	temporary := x.Put(layout.BlobPath(one)+".x.tmp", "12")
	kept = append(slices.Concat(x.Files("a", "1", one), x.Files("a", "2", two)), layout.RevisionPath("a", index), layout.BlobPath(index))
	gone = append(slices.Concat(x.Files("b", "3", three), x.Files("b", "4", four)), layout.LayerPath("a", loose), layout.BlobPath(loose), upload, temporary, layout.ReferrerPath("b", three, four))
	x.Age()
	return x, kept, gone
}

var errKilled = errors.New("killed")

// killed runs a cycle that dies at step n, and reports whether the cycle had that many steps.
func killed(x *tree, n int, at func(step int)) (died bool) {
	return killedWith(x, Options{Untagged: true}, n, at)
}

func killedWith(x *tree, o Options, n int, at func(step int)) (died bool) {
	o.Grace, o.Workers, o.Dwell = quick.Grace, 1, time.Nanosecond
	defer func() {
		if p := recover(); p == errKilled { //nolint:errorlint // It is the value that was thrown.
			died = true
		} else if p != nil {
			panic(p)
		}
	}()
	step := 0
	if _, err := run(x.T.Context(), x.Volume, o, func(string, string) {
		if at != nil {
			at(step)
		}
		if step++; step > n {
			panic(errKilled)
		}
	}); err != nil {
		x.T.Fatal(err)
	}
	return false
}

// A cycle is killed at each of its steps. Reachable files must be found at once, and must be in place after the next
// cycle. Unreachable files must be deleted in the end.
func TestR2KilledAtEachStep(t *testing.T) {
	t.Parallel()
	steps := 0
	// Between the end of one change and the beginning of the next,
	// the volume does not change, so every second step suffices.
	for died := true; died; steps += 2 {
		x, kept, gone := story(t)
		died = killed(x, steps, nil)
		if steps%4 == 0 { // Finding the files restores them, so it is done in only half of the trees.
			for _, file := range kept {
				if _, err := x.Find(file); err != nil {
					t.Errorf("killed at step %d: %v", steps, err)
				}
			}
		}
		o := quick
		o.Untagged, o.Dwell = true, time.Nanosecond
		x.collect(o)
		x.Must(fmt.Sprintf("killed at step %d, the next cycle", steps), kept, nil)
		x.Age()
		x.collect(o)
		x.Must(fmt.Sprintf("killed at step %d, the cycle after", steps), kept, gone)
		if empty := x.Empty(); len(empty) > 0 {
			t.Errorf("killed at step %d: empty folders are left: %v", steps, empty)
		}
	}
	t.Logf("killed at every second of %d steps", steps-2)
	if steps < 100 {
		t.Errorf("the cycle has only %d steps", steps)
	}
}

// The same, with a writer that tags a manifest, which may be hidden, at each step: it publishes the tag, then checks.
func TestR2TaggedAtEachStep(t *testing.T) {
	t.Parallel()
	kept, refused := 0, 0
	for n := 0; ; n++ {
		x, reachable, _ := story(t)
		three := digest.Digest("")
		for _, f := range x.All() {
			if p := layout.Parse(f); p.Kind == layout.Referrer {
				three = p.Subject
			}
		}
		all, done, acknowledged := x.Files("b", "3", three), false, true
		killed(x, 1<<30, func(step int) {
			if step != n {
				return
			}
			done = true
			x.Tag("b", "t", three)
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
		x.Must(fmt.Sprintf("tagged at step %d", n), append(reachable, all...), nil)
		x.Age()
		o := quick
		o.Untagged, o.Dwell = true, time.Nanosecond
		x.collect(o)
		x.Must(fmt.Sprintf("tagged at step %d, the next cycle", n), append(reachable, all...), nil)
	}
	t.Logf("%d of %d tags came too late and were refused", refused, kept)
	if refused == 0 || refused == kept {
		t.Errorf("%d of %d tags were refused", refused, kept)
	}
}

// Two cycles, for which every file is old, run while writers push the same
// images and move their tags. What was acknowledged last must not be lost.
func TestR2TwoCyclesAtOnceAndWriters(t *testing.T) {
	x := newTree(t, volume.Options{})
	old := x.Files("old", "x", x.Image("old", "t", "x", ""))
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
				d := x.Image(repository, fmt.Sprintf("t%d", w), content, "")
				tagged[w] = nil
				files := x.Files(repository, content, d)
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
	x.Must("in the end", append(slices.Concat(tagged...), old...), nil)
	t.Logf("%d cycles deleted %d blobs during %d pushes, of which %d were refused", cycles.Load(), deleted.Load(), pushes.Load(), refused.Load())
	if deleted.Load() == 0 || pushes.Load() <= refused.Load() {
		t.Error("nothing was deleted, or every push was refused")
	}
}
