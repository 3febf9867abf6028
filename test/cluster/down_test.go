package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/test/cluster/lock"
)

// holdLock starts a process that holds the lock at path until it is killed.
func holdLock(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := self(t, "hold", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the holder did not start: %v", err)
	}
	return cmd
}

// The process number in a file that a crash left may belong to an unrelated process. down must not end that process.
func TestDownSparesStrangers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stranger := holdLock(t, filepath.Join(t.TempDir(), "own")) // any unrelated process
	write(t, filepath.Join(dir, filePID), strconv.Itoa(stranger.Process.Pid)+"\n", 0o600)
	write(t, filepath.Join(dir, "notes.txt"), "mine", 0o600)
	var out bytes.Buffer
	if err := down(t.Context(), options{dir: dir}, &out); err != nil {
		t.Fatal(err)
	}
	if pid, err := lock.Holder(filepath.Join(filepath.Dir(stranger.Args[2]), "own")); err != nil || pid != stranger.Process.Pid {
		t.Errorf("the stranger is gone: got holder %d, %v", pid, err)
	}
	if _, err := os.Stat(filepath.Join(dir, filePID)); err == nil {
		t.Error("the stale file is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Errorf("down removed a file that is not its own: %v", err)
	}
}

func TestDownEndsTheHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	holder := holdLock(t, filepath.Join(dir, filePID))
	var out bytes.Buffer
	if err := down(t.Context(), options{dir: dir}, &out); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("the holder ended with %v, want SIGTERM", err)
	}
}

func TestClaimRefusesForeignData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etcd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if f, err := claim(t.Context(), dir); err == nil {
		t.Errorf("claimed a directory with somebody's etcd: %v", f.Close())
	}
	if _, err := os.Stat(filepath.Join(dir, "etcd")); err != nil {
		t.Errorf("somebody's etcd is gone: %v", err)
	}
}
