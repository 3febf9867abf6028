package collect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func TestTidy(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	kept := x.Files("a", "1", x.Image("a", "t", "1", ""))
	old, going := layout.UploadsOf("a")+"/old", layout.UploadsOf("a")+"/going"
	for _, u := range []string{old, going} {
		x.Put(u+"/data", "12345")
		x.Put(u+"/startedat", "then")
		x.Put(u+"/hashstates/sha256/5", "state")
	}
	deep := x.Put(layout.UploadsOf("a")+"/odd/1/2/3/4/5", "")
	temporary := []string{x.Put(kept[0]+".1.tmp", "x"), x.Put(kept[1]+".1.tmp", "x"), x.Put(layout.TagPath("a", "t")+".1.tmp", "x"), x.Put(volume.Scratch+"/probe-1/a", "x")}
	gone := append(slices.Clone(temporary), old+"/data", old+"/startedat", old+"/hashstates/sha256/5", old)
	for _, folder := range []string{layout.RevisionsOf("a") + "/sha256/x", layout.UploadsOf("a") + "/none", layout.Blobs + "/sha256/zz/y"} {
		x.Delete(x.Put(folder+"/f", ""))
		gone = append(gone, folder)
	}
	x.Age()
	young := []string{x.Put(kept[0]+".2.tmp", "x"), x.Put(going+"/hashstates/sha256/6", "state")}
	ago := time.Now().Add(-30 * time.Second)
	for _, name := range []string{young[1], filepath.Dir(young[1])} {
		if err := os.Chtimes(filepath.Join(x.Root(), name), ago, ago); err != nil {
			t.Fatal(err)
		}
	}
	o := quick
	o.Uploads = time.Nanosecond // A minute is the minimum.
	dry := o
	dry.DryRun = true
	would := x.collect(dry)
	r := x.collect(o)
	if would.Candidates != r.Deleted {
		t.Errorf("the dry run announced %+v, the cycle deleted %+v", would.Candidates, r.Deleted)
	}
	x.Must("", slices.Concat(kept, young, []string{deep, going + "/data", going + "/startedat"}), gone)
	if r.Deleted.Uploads != 2 || r.Deleted.UploadBytes != 14 || r.Deleted.Files != 4 {
		t.Errorf("%+v", r.Deleted)
	}
	if empty := x.Empty(); len(empty) > 0 {
		t.Errorf("empty folders are left: %v", empty)
	}
}

// An unfinished upload counts against its repository's limit until it is deleted. That must happen after the grace
// period, but not within an hour, in which a client can continue.
func TestTheAgeOfUploads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason     string
		grace, age time.Duration
		gone       bool
	}{
		{"a client can go on", time.Minute, 50 * time.Minute, false},
		{"nobody went on", time.Minute, 70 * time.Minute, true},
		{"a longer grace", 3 * time.Hour, 170 * time.Minute, false},
		{"nobody went on for a longer grace", 3 * time.Hour, 190 * time.Minute, true},
	} {
		x := newTree(t, volume.Options{})
		folder := layout.UploadsOf("a") + "/id"
		data := x.Put(folder+"/data", "1")
		then := time.Now().Add(-tt.age)
		for _, name := range []string{data, folder} {
			if err := os.Chtimes(filepath.Join(x.Root(), name), then, then); err != nil {
				t.Fatal(err)
			}
		}
		r := x.collect(Options{Grace: tt.grace, Dwell: time.Millisecond})
		if _, err := x.Stat(data); (err != nil) != tt.gone || (r.Deleted.Uploads == 1) != tt.gone {
			t.Errorf("%s: deleted %d uploads, %v", tt.reason, r.Deleted.Uploads, err)
		}
	}
}

// An upload that a client continues while it is deleted must be restored completely.
func TestAnUploadThatGoesOn(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	folder := layout.UploadsOf("a") + "/id"
	files := []string{x.Put(folder+"/data", "1"), x.Put(folder+"/hashstates/sha256/1", ""), x.Put(folder+"/startedat", "")}
	x.Age()
	_, err := run(t.Context(), x.Volume, quick, func(step, file string) {
		if step == "hiding" && file == files[2] {
			x.Put(files[2], "again")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Must("", files, nil)
}
