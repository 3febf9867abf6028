package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// kill must not end a process outside of the node's control group.
func TestKillSparesStrangers(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := kill(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the stranger ended with %v", err)
	}
	if err := kill(cmd.Process.Pid); err != nil { // it has ended, and its number may belong to another process
		t.Error(err)
	}
}

func TestUnmount(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts")
	}
	n := newNode(t, t.TempDir())
	outside := filepath.Join(t.TempDir(), "data")
	write(t, filepath.Join(outside, "precious"), "")
	for _, name := range []string{"volume", "with space"} {
		if err := os.MkdirAll(n.Path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(source, target, kind string, flags uintptr) {
		if err := unix.Mount(source, target, kind, flags, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	}
	mount("tmpfs", n.Path("with space"), "tmpfs", 0)
	mount("tmpfs", n.Path("with space"), "tmpfs", 0) // on top of the first mount
	if err := os.Mkdir(n.Path("with space/inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	mount(outside, n.Path("with space/inner"), "", unix.MS_BIND)
	mount(outside, n.Path("volume"), "", unix.MS_BIND)
	neighbour := n.dir + "-2"
	if err := os.Mkdir(neighbour, 0o755); err != nil {
		t.Fatal(err)
	}
	mount("tmpfs", neighbour, "tmpfs", 0)
	write(t, filepath.Join(neighbour, "kept"), "")

	for range 2 {
		if err := n.unmount(); err != nil {
			t.Fatal(err)
		}
	}
	if exists(n.Path("volume/precious")) || exists(n.Path("with space/inner")) {
		t.Error("something is still mounted in the folder")
	}
	if !exists(filepath.Join(outside, "precious")) || !exists(filepath.Join(neighbour, "kept")) {
		t.Error("what is outside of the folder is gone")
	}
}
