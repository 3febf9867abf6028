package nodefiles

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// The Keeper restores lost files, logs a problem once, and removes the files at the end only with cleanUp.
func TestKeeper(t *testing.T) {
	for _, cleanUp := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var said strings.Builder
			o := Options{Containerd: t.TempDir(), Agent: "127.0.0.1:7439", Hosts: []string{"docker.io"}}
			k := NewKeeper(func() (Options, error) { return o, nil }, slog.New(slog.NewTextHandler(&said, nil)))
			ctx, end := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- k.Run(ctx, cleanUp) }()
			synctest.Wait()
			if len(tree(t, o.Containerd)) != 1 {
				t.Error("nothing is written")
			}
			if _, err := Remove(o.Containerd, ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * interval) //nolint:forbidigo // in a bubble
			synctest.Wait()
			if len(tree(t, o.Containerd)) != 1 {
				t.Error("it is not written again")
			}
			if n := strings.Count(said.String(), "may not use the mirror"); n != 1 {
				t.Errorf("it says %d times that containerd does not read the files:\n%s", n, &said)
			}
			if testutil.ToFloat64(k.unread.WithLabelValues("unread")) != 1 || testutil.ToFloat64(k.unread.WithLabelValues("failed")) != 0 {
				t.Error("the metrics say otherwise")
			}
			end()
			if err := <-ended; err != nil || (len(tree(t, o.Containerd)) == 0) != cleanUp {
				t.Errorf("with cleanUp %t: %v, %v", cleanUp, err, tree(t, o.Containerd))
			}
		})
	}
}

// While the certificates are missing, no files are written, and existing files are kept.
func TestKeeperWithoutCertificates(t *testing.T) {
	t.Parallel()
	o := Options{Containerd: t.TempDir(), Service: "10.96.0.50"}
	write(t, o.Containerd, map[string]string{"certs.d/10.96.0.50/ca.crt": Header + "before"})
	missing := errors.New("no certificates yet")
	k := NewKeeper(func() (Options, error) { return o, missing }, slog.New(slog.DiscardHandler))
	k.Pass()
	if all := tree(t, o.Containerd); len(all) != 1 || testutil.ToFloat64(k.unread.WithLabelValues("failed")) != 1 {
		t.Errorf("%v", all)
	}
	if err := k.Ready(nil); !errors.Is(err, missing) {
		t.Errorf("the runtime cannot reach the registry, and the agent says: %v", err)
	}
	o.Authorities, o.Certificate, o.Key = []byte("a"), []byte("c"), []byte("k")
	for _, missing = range []error{nil, errors.New("no certificates any more")} {
		if k.Pass(); k.Ready(nil) != nil {
			t.Errorf("the files are written, and the agent is not ready: %v", missing)
		}
	}
	if err := o.ReadFiles(filepath.Join(o.Containerd, "missing"), "", ""); err == nil {
		t.Error("it reads a file that is missing")
	}
}

// A node with somebody else's files for the registry's address cannot pull from there: its
// agent is not ready, and says which files these are, until they are removed.
func TestKeeperWithForeignFiles(t *testing.T) {
	t.Parallel()
	o := Options{Containerd: t.TempDir(), Service: "10.96.0.50", Authorities: []byte("a"), Certificate: []byte("c"), Key: []byte("k")}
	const theirs = "certs.d/10.96.0.50/hosts.toml"
	write(t, o.Containerd, map[string]string{theirs: "theirs"})
	k := NewKeeper(func() (Options, error) { return o, nil }, slog.New(slog.DiscardHandler))
	k.Pass()
	if err := k.Ready(nil); err == nil || !strings.Contains(err.Error(), theirs) {
		t.Errorf("with their file: %v", err)
	}
	if err := os.Remove(filepath.Join(o.Containerd, theirs)); err != nil {
		t.Fatal(err)
	}
	if k.Pass(); k.Ready(nil) != nil {
		t.Errorf("without their file: %v", k.Ready(nil))
	}
	write(t, o.Containerd, map[string]string{theirs: "theirs"})
	if k.Pass(); k.Ready(nil) != nil {
		t.Errorf("the other files are in use, and the agent is not ready: %v", k.Ready(nil))
	}
}

// If the certificates are issued later, the Keeper uses them after the retry time instead of the interval.
func TestKeeperTriesAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Containerd: t.TempDir(), Service: "10.96.0.50", Authorities: []byte("a"), Certificate: []byte("c"), Key: []byte("k")}
		began := time.Now()
		k := NewKeeper(func() (Options, error) {
			if time.Since(began) < retry {
				return o, errors.New("no certificates yet")
			}
			return o, nil
		}, slog.New(slog.DiscardHandler))
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx, false) }()
		time.Sleep(retry) //nolint:forbidigo // in a bubble
		synctest.Wait()
		if err := k.Ready(nil); err != nil {
			t.Error(err)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
