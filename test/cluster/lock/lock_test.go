package lock

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const asHolder = "NFO_LOCK_TEST_HOLDER"

// TestMain lets the test binary hold a lock in a separate process.
func TestMain(m *testing.M) {
	path := os.Getenv(asHolder)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := Take(path); err != nil {
		panic(err)
	}
	fmt.Println("held")
	<-time.After(time.Hour) // waiting without a timer would end in the runtime's deadlock detection
}

// hold starts a process that holds the lock at path until it is killed.
func hold(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), asHolder+"="+path), os.Stderr
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

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	other := hold(t, path)
	if pid, err := Holder(path); err != nil || pid != other.Process.Pid {
		t.Errorf("holder: got %d, %v, want %d", pid, err, other.Process.Pid)
	}
	if f, err := Take(path); err == nil {
		t.Errorf("took a lock that process %d holds: %v", other.Process.Pid, f.Close())
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	f, err := Wait(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("the lock outlived its killed holder: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
