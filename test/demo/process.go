package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// A background process holds the lock of its pid file while it lives. The kernel releases the lock when the
// process ends. So a pid file left by a crash, whose number may by now be that of another process, does no harm.

// newHoldCommand returns a command that locks a pid file and then executes another program, which keeps the lock.
func newHoldCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "hold PIDFILE PROGRAM [ARGUMENT...]",
		Short:  "Become a program that holds the lock of a pid file",
		Hidden: true,
		Args:   cobra.MinimumNArgs(2),
		// The arguments after PIDFILE belong to the program.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			// os.OpenFile would set O_CLOEXEC, but the lock must survive the exec.
			fd, err := syscall.Open(args[0], syscall.O_RDWR|syscall.O_CREAT, 0o600)
			if err != nil {
				return fmt.Errorf("opening %s: %w", args[0], err)
			}
			if err := lock(cmd.Context(), fd); err != nil {
				return fmt.Errorf("locking %s, which another process holds: %w", args[0], err)
			}
			if err := syscall.Ftruncate(fd, 0); err != nil {
				return fmt.Errorf("writing %s: %w", args[0], err)
			}
			if _, err := syscall.Write(fd, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
				return fmt.Errorf("writing %s: %w", args[0], err)
			}
			return fmt.Errorf("running %s: %w", args[1], syscall.Exec(args[1], args[1:], os.Environ()))
		},
	}
}

// lock locks a file. It retries for a second, because holderOf may hold the lock for a moment.
func lock(ctx context.Context, fd int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
}

// holderOf returns the process that holds the lock of a pid file; 0 if none does.
func holderOf(path string) (int, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("opening the pid file: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	// If this call gets the lock, closing the file releases it.
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, fmt.Errorf("asking for the lock of %s: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading the pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return pid, nil
}

// process is one background process of the environment.
type process struct {
	name string
	argv []string
	env  []string
	// ready reports whether the process can be used.
	ready func(context.Context) bool
}

// start starts a process in its own session unless it runs, and returns when it is ready.
func (e *environment) start(ctx context.Context, p process) error {
	pid, err := holderOf(e.path(p.name + ".pid"))
	if err != nil {
		return err
	}
	var ended chan struct{}
	if pid == 0 {
		if ended, err = e.spawn(p); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it was not ready within a minute"))
	defer cancel()
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) {
		select {
		case <-ended:
			return false, errors.New("it ended")
		default:
			return p.ready(ctx), nil
		}
	})
	if err != nil {
		log := e.path(p.name + ".log")
		return fmt.Errorf("starting the %s: %w; %s ends so:\n%s", p.name, err, log, tail(log, 20))
	}
	return nil
}

// spawn starts a process. It returns a channel that is closed when the process has ended. The
// program may be a file that `go run` removes later: once it runs, the file is not needed.
func (e *environment) spawn(p process) (chan struct{}, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	log, err := os.OpenFile(e.path(p.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("starting the %s: %w", p.name, err)
	}
	defer log.Close() //nolint:errcheck // the process has its own handle
	cmd := exec.Command(self, append([]string{"hold", e.path(p.name + ".pid")}, p.argv...)...)
	cmd.Dir, cmd.Env = e.root, append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its log has the reason
		close(ended)
	}()
	return ended, nil
}

// end ends a process, with SIGKILL if SIGTERM is not enough within 10 seconds, and returns
// when the process has ended. It reads the pid file again after os.FindProcess, which pins
// the process, so that it cannot signal another process that got the same number.
func (e *environment) end(ctx context.Context, name string) error {
	path := e.path(name + ".pid")
	pid, err := holderOf(path)
	if err != nil || pid == 0 {
		return err
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("finding process %d: %w", pid, err)
	}
	if again, err := holderOf(path); err != nil || again != pid {
		return err
	}
	gone := func() (bool, error) {
		pid, err := holderOf(path)
		return pid == 0, err
	}
	for _, s := range []os.Signal{syscall.SIGTERM, os.Kill} {
		if err := p.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("ending the %s, process %d: %w", name, pid, err)
		}
		patient, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = poll(patient, 20*time.Millisecond, gone)
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("ending the %s, process %d; see %s: %w", name, pid, filepath.Base(path), err)
}
