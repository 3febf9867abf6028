package scrub_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/scrub"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const lease = volume.Scrub + "/lease"

// Several replicas together must read each blob only once.
func TestReplicasReadEachBlobOnce(t *testing.T) {
	v := open(t)
	all := fill(t, v, 64)
	for _, d := range all {
		write(t, v, d, "changed") // makes each read of the blob visible to Found
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var found, passes atomic.Int64
		var replicas sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			replicas.Go(func() {
				o := scrub.Options{Period: time.Hour, Holder: name, Found: func(digest.Digest, error) { found.Add(1) }}
				r, err := scrub.Run(ctx, v, o)
				for errors.Is(err, scrub.ErrTaken) { // all replicas take the lease at once
					r, err = scrub.Run(ctx, v, o)
				}
				switch {
				case err == nil:
					passes.Add(1)
					if r.Blobs != len(all) {
						t.Errorf("%s ended its pass: %s", name, r)
					}
				case !errors.Is(err, context.Canceled):
					t.Error(err)
				}
			})
		}
		<-time.After(90 * time.Minute) // by the fake clock of synctest
		cancel()
		replicas.Wait()
		if found.Load() != int64(len(all)) || passes.Load() != 1 {
			t.Errorf("%d blobs were found in %d passes", found.Load(), passes.Load())
		}
	})
}

// A replica that takes over must read only the blobs that the killed replica had not read.
func TestAReplicaThatWasKilledIsReplaced(t *testing.T) {
	v := open(t)
	all := fill(t, v, 64)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		first, err := scrub.Run(ctx, v, scrub.Options{Period: time.Hour, Holder: "killed"})
		if !errors.Is(err, context.DeadlineExceeded) || first.Blobs == 0 || first.Blobs == len(all) {
			t.Fatal(first, err)
		}
		// The process was killed: its lease remains, and the volume's clock continues.
		if err := v.Write(lease, []byte("killed"), true); err != nil {
			t.Fatal(err)
		}
		waits, stop := context.WithTimeout(t.Context(), 20*time.Minute)
		defer stop()
		if r, err := scrub.Run(waits, v, scrub.Options{Period: time.Hour, Holder: "next"}); err == nil || r.Blobs != 0 {
			t.Fatal("it did not wait for a lease that is young:", r, err)
		}
		then := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(v.Root(), lease), then, then); err != nil {
			t.Fatal(err)
		}
		r, err := scrub.Run(t.Context(), v, scrub.Options{Period: time.Hour, Holder: "next"})
		if err != nil || r.Blobs != len(all) {
			t.Error(r, err)
		}
	})
}

// A paused process that lost its lease must end its pass with ErrTaken, and must not remove the other process's lease.
func TestALeaseThatWasTakenOverEndsThePass(t *testing.T) {
	v := open(t)
	fill(t, v, 8)
	synctest.Test(t, func(t *testing.T) {
		time.AfterFunc(10*time.Minute, func() {
			if err := v.Write(lease, []byte("another"), true); err != nil {
				t.Error(err)
			}
		})
		if _, err := scrub.Run(t.Context(), v, scrub.Options{Period: 24 * time.Hour, Holder: "paused"}); !errors.Is(err, scrub.ErrTaken) {
			t.Error(err)
		}
		if content, err := v.ReadFile(lease, 100); err != nil || string(content) != "another" {
			t.Errorf("the other's lease: %q, %v", content, err)
		}
	})
}
