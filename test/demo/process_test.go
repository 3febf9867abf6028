package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/nfo-operator/nfo/test/story"
)

// TestMain makes the test binary act as the demo when a background process starts it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "hold" {
		root := newRootCommand()
		root.SetArgs(os.Args[1:])
		_ = root.ExecuteContext(context.Background()) //nolint:forbidigo // a main of its own
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestProcess(t *testing.T) {
	t.Parallel()
	e := &environment{root: t.TempDir(), out: io.Discard}
	if err := os.MkdirAll(e.path(""), 0o755); err != nil {
		t.Fatal(err)
	}
	pidFile := e.path("sleeper.pid")
	running := func(context.Context) bool {
		pid, err := holderOf(pidFile)
		if err != nil {
			return false // locked, but its number is not written yet
		}
		comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		return err == nil && string(comm) == "sleep\n"
	}
	t.Cleanup(func() { _ = e.end(context.WithoutCancel(t.Context()), "sleeper") })
	sleeper := process{name: "sleeper", argv: []string{"/bin/sleep", "60"}, ready: running}
	if err := e.start(t.Context(), sleeper); err != nil {
		t.Fatal(err)
	}
	first, err := holderOf(pidFile)
	if err != nil || first == 0 {
		t.Fatalf("holderOf: %d, %v, want a process", first, err)
	}
	if err := e.start(t.Context(), sleeper); err != nil {
		t.Fatal(err)
	}
	if again, err := holderOf(pidFile); again != first || err != nil {
		t.Errorf("started again, it is process %d (error: %v), want still %d", again, err, first)
	}
	if err := e.end(t.Context(), "sleeper"); err != nil {
		t.Fatal(err)
	}
	if pid, err := holderOf(pidFile); pid != 0 || err != nil {
		t.Errorf("after its end holderOf says %d, %v, want 0", pid, err)
	}
	if err := e.end(t.Context(), "sleeper"); err != nil {
		t.Errorf("ended again: %v", err)
	}
}

// A number in a pid file without a lock may be that of an unrelated process.
func TestEndSparesOthers(t *testing.T) {
	t.Parallel()
	e := &environment{root: t.TempDir(), out: io.Discard}
	if err := os.MkdirAll(e.path(""), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.path("old.pid"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.end(t.Context(), "old"); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(os.Getpid(), 0); err != nil {
		t.Error(err)
	}
}

func TestStartTellsWhyItEnded(t *testing.T) {
	t.Parallel()
	e := &environment{root: t.TempDir(), out: io.Discard}
	if err := os.MkdirAll(e.path(""), 0o755); err != nil {
		t.Fatal(err)
	}
	err := e.start(t.Context(), process{
		name: "failing", argv: []string{"/bin/sh", "-c", "echo no such cluster; exit 1"},
		ready: func(context.Context) bool { return false },
	})
	if err == nil || story.Says("starting the failing: it ended", "no such cluster")(err.Error()) != nil {
		t.Errorf("got error %v, want one with the log's end", err)
	}
}
