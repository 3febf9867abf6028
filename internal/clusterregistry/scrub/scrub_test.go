package scrub_test

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/scrub"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

var quick = scrub.Options{Period: time.Nanosecond}

func open(t *testing.T) *volume.Volume {
	t.Helper()
	v, err := volume.Open(t.TempDir(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, v *volume.Volume, d digest.Digest, content string) {
	t.Helper()
	if err := v.Write(layout.BlobPath(d), []byte(content), true); err != nil {
		t.Fatal(err)
	}
}

// fill writes blobs, and returns their digests.
func fill(t *testing.T, v *volume.Volume, n int) (all []digest.Digest) {
	t.Helper()
	for i := range n {
		content := fmt.Sprintf("content %4d", i)
		all = append(all, digest.FromString(content))
		write(t, v, all[i], content)
	}
	return all
}

func has(t *testing.T, v *volume.Volume, d digest.Digest) bool {
	t.Helper()
	_, err := v.Stat(layout.BlobPath(d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func run(t *testing.T, v *volume.Volume, o scrub.Options) scrub.Report {
	t.Helper()
	r, err := scrub.Run(t.Context(), v, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCorruptBlobsAreSetAside(t *testing.T) {
	t.Parallel()
	d, long := digest.FromString("right"), digest.SHA512.FromString("right")
	if long.Encoded() != fmt.Sprintf("%x", sha512.Sum512([]byte("right"))) {
		t.Fatal("no digest of SHA-512")
	}
	for _, tt := range []struct {
		reason                string
		spoil                 func(t *testing.T, v *volume.Volume)
		read, corrupt, unread int
		has                   bool
	}{
		{reason: "all is right", spoil: func(*testing.T, *volume.Volume) {}, read: 2, has: true},
		{reason: "a bit has changed", spoil: func(t *testing.T, v *volume.Volume) { write(t, v, d, "rigkt") }, read: 2, corrupt: 1},
		{reason: "it was cut", spoil: func(t *testing.T, v *volume.Volume) { write(t, v, d, "") }, read: 2, corrupt: 1},
		{reason: "it is longer than one read", spoil: func(t *testing.T, v *volume.Volume) { write(t, v, d, strings.Repeat("x", 1<<20)) }, read: 2, corrupt: 1},
		{reason: "both have changed", spoil: func(t *testing.T, v *volume.Volume) { write(t, v, d, "x"); write(t, v, long, "x") }, read: 2, corrupt: 2},
		{reason: "it cannot be read", spoil: func(t *testing.T, v *volume.Volume) {
			name := filepath.Join(v.Root(), layout.BlobPath(d))
			if err := errors.Join(os.Remove(name), os.Symlink(filepath.Base(name), name)); err != nil {
				t.Fatal(err)
			}
		}, read: 1, unread: 1, has: true},
		{reason: "its folder is empty", spoil: func(t *testing.T, v *volume.Volume) {
			if err := os.Remove(filepath.Join(v.Root(), layout.BlobPath(d))); err != nil {
				t.Fatal(err)
			}
		}, read: 1},
		{reason: "a file is being written beside it", spoil: func(t *testing.T, v *volume.Volume) {
			if err := v.Write(layout.BlobPath(d)+".x.tmp", nil, true); err != nil {
				t.Fatal(err)
			}
		}, read: 2, has: true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			v := open(t)
			write(t, v, d, "right")
			write(t, v, long, "right")
			tt.spoil(t, v)
			var found []digest.Digest
			o := quick
			o.Found = func(d digest.Digest, reason error) {
				found = append(found, d)
				if errors.Is(reason, scrub.ErrCorrupt) != (tt.corrupt > 0) || reason.Error() == "" {
					t.Error(reason)
				}
			}
			var bytes int64
			o.Read = func(n int64) { bytes += n }
			r := run(t, v, o)
			if bytes != r.Bytes {
				t.Errorf("it heard of %d bytes, and has read %d", bytes, r.Bytes)
			}
			if r.Blobs != tt.read || r.Corrupt != tt.corrupt || r.Unreadable != tt.unread || len(r.CorruptBlobs) != tt.corrupt || len(found) != tt.corrupt+tt.unread {
				t.Errorf("got %+v, found %v", r, found)
			}
			if has(t, v, d) != tt.has {
				t.Errorf("the blob is there: %t, want %t", !tt.has, tt.has)
			}
			aside, err := filepath.Glob(filepath.Join(v.Root(), ".nfo/corrupt/*", layout.Blobs, "*/*/*/data"))
			if err != nil || len(aside) != tt.corrupt {
				t.Errorf("set aside %v, %v", aside, err)
			}
			if s := r.String(); strings.Contains(s, "\n") || !strings.Contains(s, fmt.Sprintf("%d corrupt", tt.corrupt)) {
				t.Error(s)
			}
		})
	}
}

// An interrupted pass must continue at its cursor, also within a folder, and read each blob once.
func TestPassesGoOnFromTheirCursor(t *testing.T) {
	t.Parallel()
	v := open(t)
	var all []digest.Digest
	for i := 0; len(all) < 40; i++ {
		content := fmt.Sprintf("content %4d", i)
		if d := digest.FromString(content); d.Encoded()[:2] == "00" {
			all = append(all, d)
			write(t, v, d, content)
		}
	}
	write(t, v, all[7], "changed")
	read, stops := int64(0), 0
	for stops < 20 {
		ctx, cancel := context.WithCancel(t.Context())
		o := quick
		o.BytesPerSecond = 200 // The burst is 200 bytes too.
		stop := time.AfterFunc(300*time.Millisecond, cancel)
		r, err := scrub.Run(ctx, v, o)
		stop.Stop()
		cancel()
		if r.Bytes < read {
			t.Errorf("it had read %d bytes, and has read %d", read, r.Bytes)
		}
		read = r.Bytes
		if err == nil {
			if r.Blobs != len(all) || r.Corrupt != 1 {
				t.Errorf("%s after %d stops", r, stops)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		stops++
	}
	if stops == 0 || stops == 20 {
		t.Errorf("it was interrupted %d times", stops)
	}
	if r := run(t, v, quick); r.Blobs != len(all)-1 {
		t.Errorf("the next pass: %s", r)
	}
}

func TestCursorsThatCannotBeUnderstoodBeginAnew(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{", `{"last":"no digest"}`, strings.Repeat("x", 5000), `{"began":"2999-01-01T00:00:00Z","ended":true}`} {
		v := open(t)
		fill(t, v, 3)
		if err := v.Write(volume.Scrub+"/cursor", []byte(content), true); err != nil {
			t.Fatal(err)
		}
		if r := run(t, v, quick); r.Blobs != 3 {
			t.Errorf("%.40q: %s", content, r)
		}
	}
}

// A push or a copy that replaces a corrupt blob while it is read must not be undone.
func TestR2ABlobThatIsReplacedMeanwhileStays(t *testing.T) {
	t.Parallel()
	v := open(t)
	d := digest.FromString("right")
	write(t, v, d, strings.Repeat("x", 200))
	replace := time.AfterFunc(time.Second, func() {
		if err := v.Write(layout.BlobPath(d), []byte("right"), true); err != nil {
			t.Error(err)
		}
	})
	defer replace.Stop()
	o := quick
	o.BytesPerSecond = 40 // Reading the blob takes four seconds.
	if r := run(t, v, o); r.Corrupt > 0 || r.Blobs != 1 || !has(t, v, d) {
		t.Error(r)
	}
}

// BytesPerSecond must bound the read rate.
func TestBytesPerSecond(t *testing.T) {
	t.Parallel()
	v := open(t)
	fill(t, v, 20)
	o := quick
	o.BytesPerSecond = 100
	began := time.Now()
	run(t, v, o)
	if took := time.Since(began); took < 1400*time.Millisecond {
		t.Errorf("240 bytes at 100 a second, 100 at once, took %s", took)
	}
}

// The blobs must be read evenly over the period, and the next pass must wait for its end.
func TestPeriod(t *testing.T) {
	v := open(t)
	all := fill(t, v, 64)
	for _, d := range all {
		write(t, v, d, "changed")
	}
	synctest.Test(t, func(t *testing.T) {
		const hour = time.Hour
		began := time.Now()
		var when []time.Duration
		var order []digest.Digest
		o := scrub.Options{Period: 64 * hour, Found: func(d digest.Digest, _ error) {
			when, order = append(when, time.Since(began)), append(order, d)
		}}
		if r := run(t, v, o); r.Corrupt != len(all) {
			t.Fatal(r)
		}
		for i, at := range when {
			if i > 0 && order[i] < order[i-1] {
				t.Errorf("%s was read before %s", order[i-1], order[i])
			}
			if due := time.Duration(float64(64*hour) * float64(digits(t, order[i])) / (1 << 32)); (at - due).Abs() > time.Minute {
				t.Errorf("%s was read at %s, want %s", order[i], at, due)
			}
		}
		// The volume's clock is real, so by that clock the pass took
		// no time, and the next pass waits for the whole period.
		run(t, v, o)
		if took := time.Since(began); took < 100*hour {
			t.Errorf("two passes took %s", took)
		}
	})
}

// Passes of an empty volume must also wait for the period.
func TestPeriodOfNothing(t *testing.T) {
	v := open(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		for range 2 {
			run(t, v, scrub.Options{Period: time.Hour})
		}
		if took := time.Since(began); took < 59*time.Minute {
			t.Errorf("two passes took %s", took)
		}
	})
}

func digits(t *testing.T, d digest.Digest) (n uint32) {
	t.Helper()
	if _, err := fmt.Sscanf(d.Encoded()[:8], "%x", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []scrub.Options{{Period: -1}, {BytesPerSecond: -1}} {
		if _, err := scrub.Run(t.Context(), open(t), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if diff := cmp.Diff(0, run(t, open(t), quick).Blobs); diff != "" {
		t.Error(diff)
	}
}
