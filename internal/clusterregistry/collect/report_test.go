package collect

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func TestReport(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	x.Image("a", "t", "1", "")
	x.Image("a", "", "22", "")
	x.Age()
	var phases []Phase
	o := quick
	o.Untagged, o.Progress, o.Rate = true, func(p Progress) { phases = append(phases, p.Phase) }, 1_000_000
	r := x.collect(o)
	want := Counts{Repositories: 1, Tags: 1, Revisions: 2, Layers: 4, Blobs: 6}
	if r.Seen != want {
		t.Errorf("saw %+v, want %+v", r.Seen, want)
	}
	if kept, want := r.Kept(), (Counts{Repositories: 1, Tags: 1, Revisions: 1, Layers: 2, Blobs: 3}); kept != want {
		t.Errorf("kept %+v, want %+v", kept, want)
	}
	if r.Deleted.Bytes != r.Candidates.Bytes || r.Deleted.Bytes < int64(len("22")+len("config of 22")) || r.Deleted.Revisions != 1 {
		t.Errorf("deleted %+v", r.Deleted)
	}
	if want := []Phase{Adopting, Marking, Hiding, Waiting, MarkingAgain, GivingBack, Deleting, Tidying}; !slices.Equal(phases, want) {
		t.Errorf("went through %v, want %v", phases, want)
	}
	for _, p := range phases {
		if r.Took[p] <= 0 {
			t.Errorf("no time of %s", p)
		}
	}
	if empty := x.Empty(); len(empty) > 0 {
		t.Errorf("empty folders are left: %v", empty)
	}
	if _, err := Run(t.Context(), x.Volume, Options{Grace: -1}); err == nil {
		t.Error("a negative grace period was accepted")
	}
}

// The rate bounds how fast files are moved. Hiding five files at
// 50 a second takes at least 80 ms, and so does deleting them.
func TestRate(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	for _, s := range []string{"1", "2", "3", "4", "5"} {
		x.Blob(s)
	}
	x.Age()
	o := quick
	o.Rate = 50
	began := time.Now()
	if r := x.collect(o); r.Deleted.Blobs != 5 {
		t.Error(r)
	}
	if took := time.Since(began); took < 160*time.Millisecond {
		t.Errorf("10 changes took %s", took)
	}
}

// A reader of the collection's state assumes after 2 minutes without
// progress that it has died, so a waiting cycle must report.
func TestACycleIsHeardOfWhileItWaits(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	x.Blob("1")
	x.Age()
	synctest.Test(t, func(t *testing.T) {
		o := quick
		var mu sync.Mutex
		last, silence, waiting := time.Now(), time.Duration(0), 0
		o.Dwell, o.Progress = 150*time.Second, func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			silence, last = max(silence, time.Since(last)), time.Now()
			if p.Phase == Waiting {
				waiting++
			}
		}
		if r, err := Run(t.Context(), x.Volume, o); err != nil || r.Deleted.Blobs != 1 {
			t.Fatal(r, err)
		}
		if silence > 30*time.Second || waiting < 4 {
			t.Errorf("%d calls while it waits, and none for %s", waiting, silence)
		}
	})
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	none, minute := time.Duration(0), time.Minute
	for _, tt := range []struct {
		reason string
		stale  *time.Duration
		dwell  time.Duration
	}{
		{"all processes see the same", &none, time.Second},
		{"a view can be a minute old", &minute, 150 * time.Second},
	} {
		o := Options{}.withDefaults(newTree(t, volume.Options{Stale: tt.stale}).Volume)
		if o.Dwell != tt.dwell || o.Grace != time.Hour || o.Uploads != time.Hour || o.Workers != 8 {
			t.Errorf("%s: %+v", tt.reason, o)
		}
	}
}
