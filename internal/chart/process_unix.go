//go:build unix

package chart

import (
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxInheritedFile bounds the files that a program is started with: they have the lowest numbers.
const maxInheritedFile = 1024

// closeInherited keeps from children the files that this program was started with. Go keeps only its own to itself.
func closeInherited() {
	for fd := 3; fd < maxInheritedFile; fd++ {
		unix.CloseOnExec(fd)
	}
}

// endTogether has a command end with all processes that it starts.
func endTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
}

// limitResources limits what this process may use.
func limitResources(limits Limits) error {
	seconds := uint64((limits.CPU + time.Second - 1) / time.Second)
	for resource, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_DATA:   {Cur: uint64(limits.Memory), Max: uint64(limits.Memory)},
		unix.RLIMIT_CPU:    {Cur: seconds, Max: seconds + 1},
		unix.RLIMIT_NOFILE: {}, // no more than are open: no file, no socket
		unix.RLIMIT_FSIZE:  {},
		unix.RLIMIT_CORE:   {},
	} {
		if err := unix.Setrlimit(resource, &limit); err != nil {
			return fmt.Errorf("limiting the process: %w", err)
		}
	}
	return nil
}
