package mark_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

func unreferenced(x *volumetest.Tree) *mark.Unreferenced {
	x.T.Helper()
	u, err := mark.NewUnreferenced(x.Volume, quick.Grace)
	if err != nil {
		x.T.Fatal(err)
	}
	return u
}

// list returns the complete list below a folder, read in pages of the given size.
func list(x *volumetest.Tree, folder string, most int) (names []string) {
	x.T.Helper()
	u := unreferenced(x)
	for after, pages := "", 0; ; pages++ {
		page, next, err := u.List(x.T.Context(), folder, after, most)
		if err != nil || len(page) > most || pages > 100 {
			x.T.Fatalf("page %d with %d of %d: %v", pages, len(page), most, err)
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

// requests returns the files that request deletions.
func requests(x *volumetest.Tree) []string {
	return slices.DeleteFunc(x.All(), func(f string) bool { return !strings.HasPrefix(f, volume.Deletions) })
}

func TestWhatNothingReferencesIsListed(t *testing.T) {
	t.Parallel()
	x := volumetest.New(t, volume.Options{})
	overwritten := x.Image("acme/upf", "", "overwritten", "")
	x.Image("acme/upf", "1", "tagged", "")
	child, other := x.Image("acme/smf", "", "child", ""), x.Image("acme/smf", "", "other child", "")
	index := x.Index("acme/smf", "", child, other)
	shared := x.Image("acme/smf", "", "shared child", "")
	x.Index("acme/smf", "2", shared)
	subject := x.Image("acme/smf", "3", "subject", "")
	x.Image("acme/smf", "", "signature of what stays", subject)
	signature := x.Image("acme/upf", "", "signature", overwritten)
	nested := x.Image("acme/upf/nested", "", "nested", "")
	outside := x.Image("acmeother/upf", "", "outside", "")
	broken := x.Image("acme/broken", "", "broken", "")
	x.Image("acme/broken", "", "beside broken", "")
	waiting := x.Image("acme/upf", "", "child of what is young", "")
	x.Age()
	x.Image("acme/upf", "", "young", "")
	x.Index("acme/upf", "", waiting)
	x.Delete(layout.BlobPath(broken))
	at := func(repository string, ds ...digest.Digest) (names []string) {
		for _, d := range ds {
			names = append(names, repository+"@"+d.String())
		}
		slices.Sort(names)
		return names
	}
	want := slices.Concat(at("acme/smf", child, other, index), at("acme/upf", overwritten, signature), at("acme/upf/nested", nested))
	for _, most := range []int{1, 2, 3, 100} {
		if diff := cmp.Diff(want, list(x, "acme", most)); diff != "" {
			t.Errorf("by pages of %d: -want +got\n%s", most, diff)
		}
	}
	if diff := cmp.Diff(append(want, at("acmeother/upf", outside)...), list(x, "", 100)); diff != "" {
		t.Errorf("of all: -want +got\n%s", diff)
	}
	if err := unreferenced(x).Delete("acme/upf", overwritten); err != nil {
		t.Fatal(err)
	}
	if got := list(x, "acme/upf", 100); slices.Contains(got, at("acme/upf", overwritten)[0]) {
		t.Errorf("it lists what is about to be deleted: %v", got)
	}
	if got := list(x, "nobody", 100); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

func TestADeletionIsNotTakenFor(t *testing.T) {
	t.Parallel()
	x := volumetest.New(t, volume.Options{})
	one := x.Image("a", "", "1", "")
	if err := unreferenced(x).Delete("a", one); !errors.Is(err, mark.ErrYoung) {
		t.Errorf("what was pushed just now: %v", err)
	}
	if err := unreferenced(x).Delete("a", digest.FromString("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if left := requests(x); len(left) > 0 {
		t.Errorf("requests are left: %v", left)
	}
}

func TestR3WhatCannotBeReadIsNotListed(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"/_manifests/tags", "/_manifests/revisions/sha256/", "/repositories/a"} {
		view := &volumetest.Faulty{Part: part}
		x := volumetest.New(t, volume.Options{View: view})
		x.Image("a", "", "1", "")
		x.Age()
		view.On.Store(true)
		if page, _, err := unreferenced(x).List(t.Context(), "", "", 10); err == nil || page != nil {
			t.Errorf("where %s cannot be read: %v, %v", part, page, err)
		}
	}
}
