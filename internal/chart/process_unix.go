//go:build unix

package chart

import (
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxInheritedFile bounds the descriptors of files that this program was started with, which have the lowest numbers.
const maxInheritedFile = 1024

// closeInherited prevents that children get the files with which this
// program was started. Go does this only for files that it opens itself.
func closeInherited() {
	for fd := 3; fd < maxInheritedFile; fd++ {
		unix.CloseOnExec(fd)
	}
}

// endTogether makes a command end together with all processes that it starts.
func endTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
}

// limitResources sets the resource limits of this process.
func limitResources(limits Limits) error {
	seconds := uint64((limits.CPU + time.Second - 1) / time.Second)
	for resource, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_DATA:   {Cur: uint64(limits.Memory), Max: uint64(limits.Memory)},
		unix.RLIMIT_CPU:    {Cur: seconds, Max: seconds + 1},
		unix.RLIMIT_NOFILE: {}, // no further file or socket
		unix.RLIMIT_FSIZE:  {},
		unix.RLIMIT_CORE:   {},
	} {
		if err := unix.Setrlimit(resource, &limit); err != nil {
			return fmt.Errorf("limiting the process: %w", err)
		}
	}
	return nil
}
