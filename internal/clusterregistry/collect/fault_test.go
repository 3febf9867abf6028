package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

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
				continue // The second mark reads only roots and what they reach.
			}
			view := &volumetest.Faulty{Part: tt.part}
			x := newTree(t, volume.Options{View: view})
			x.Image("a", "t", "1", "")
			x.Layer("a", "loose")
			x.Image("b", "", "2", "")
			x.Put(layout.ReferrerPath("a", one, one), "x")
			x.Age()
			before := x.All()
			view.On.Store(!again)
			o := quick
			o.Untagged = true
			r, err := run(t.Context(), x.Volume, o, func(step, _ string) {
				if step == "waiting" {
					view.On.Store(true)
				}
			})
			view.On.Store(false)
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "the next collection retries") {
				t.Errorf("%s, second mark %t: %v", tt.reason, again, err)
			}
			if hidden := r.Hidden != (Counts{}); hidden != again {
				t.Errorf("%s, second mark %t: hid %+v", tt.reason, again, r.Hidden)
			}
			if again { // The next cycle restores the files that the view did not show.
				x.collect(quick)
			}
			x.Same(fmt.Sprintf("%s, second mark %t", tt.reason, again), before)
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
		x.Image("a", "t", "0", "")
		x.Put(layout.RevisionPath("a", one), one.String())
		x.Put(tt.file, "")
		x.Delete(tt.file)
		x.Blob("loose")
		if err := os.Symlink(filepath.Base(tt.file), filepath.Join(x.Root(), tt.file)); err != nil {
			t.Fatal(err)
		}
		before := x.All()
		x.AgeFiles(before, tt.file)
		if _, err := Run(t.Context(), x.Volume, quick); err == nil || !strings.Contains(err.Error(), tt.file) {
			t.Errorf("%s: %v", tt.reason, err)
		}
		x.Same(tt.reason, before)
	}
}

// A cycle whose context ends must restore everything, in whatever phase it was.
func TestR2ACancelledCycleGivesEverythingBack(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"hidden", "waiting"} {
		x := newTree(t, volume.Options{})
		x.Image("a", "t", "1", "")
		x.Image("a", "", "2", "")
		x.Age()
		before := x.All()
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
		x.Same(step, before)
	}
}

// A cycle that is cancelled while it deletes must restore what
// it has not deleted, and have deleted nothing that is needed.
func TestR2ACycleThatIsCancelledWhileItDeletes(t *testing.T) {
	t.Parallel()
	x, kept, gone := story(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := quick
	o.Untagged = true
	_, err := run(ctx, x.Volume, o, func(now, _ string) {
		if now == "discarded" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	x.Must("cancelled", kept, nil)
	x.Age()
	x.collect(o)
	x.Must("after the next cycle", kept, gone)
}

// Adopting an earlier cycle must not replace a file in its place. A hidden file
// of another size must stay in the trash, because one of the two is corrupt.
func TestR3AdoptionReplacesNothing(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	d := x.Image("a", "t", "1", "")
	tag, blob, other := layout.TagPath("a", "t"), layout.BlobPath(digest.FromString("1")), layout.BlobPath(d)
	x.Put(volume.HiddenPath("old", tag), strings.Repeat("x", len(d)))
	x.Put(volume.HiddenPath("old", blob), "1")
	cut := x.Put(volume.HiddenPath("old", other), "cut")
	nfs := x.Put(volume.HiddenPath("old", layout.Blobs+"/sha256/.nfs001"), "")
	stray := x.Put("/.nfo/trash/stray", "")
	x.Age()
	x.collect(quick)
	if got, err := x.ReadFile(tag, 100); err != nil || string(got) != d.String() {
		t.Errorf("the tag is at %s, %v", got, err)
	}
	want := append(x.Files("a", "1", d), cut, nfs, stray)
	for _, file := range want {
		if !x.Has(file) {
			t.Errorf("lost %s", file)
		}
	}
	for _, file := range []string{volume.HiddenPath("old", tag), volume.HiddenPath("old", blob), layout.Blobs + "/sha256/.nfs001"} {
		if x.Has(file) {
			t.Errorf("still has %s", file)
		}
	}
	x.Delete(cut)
	x.Delete(nfs)
	x.collect(quick)
	if x.Has("/.nfo/trash/old") {
		t.Error("an empty cycle is left")
	}
}
