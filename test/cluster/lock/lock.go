// Package lock says which process has a file.
//
// Locks are record locks of the kernel on a file. The kernel drops them with the process
// and names the process that holds one, so a file that a crash left behind, or a number
// that another process has by now, can never mislead.
package lock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// ErrHeld means that another process has the lock.
var ErrHeld = errors.New("held by another process")

// Take locks path, creating it, and writes the own process number into it for people.
// Closing the file ends the lock. The error is ErrHeld if another process has it.
func Take(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening the lock: %w", err)
		}
		record := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
		err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &record)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, errors.Join(ErrHeld, f.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
		}
		if isAt(f, path) {
			return f, writePID(f)
		}
		if err := f.Close(); err != nil { // its last holder removed it between our open and our lock
			return nil, fmt.Errorf("closing the lock: %w", err)
		}
	}
}

// Wait is Take, but waits; onWait is called once, with the holder, if it has to.
func Wait(ctx context.Context, path string, onWait func(pid int)) (*os.File, error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		f, err := Take(path)
		if !errors.Is(err, ErrHeld) {
			return f, err
		}
		if onWait != nil {
			pid, _ := Holder(path)
			onWait(pid)
			onWait = nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
}

// Holder asks the kernel which other process holds the lock at path; 0 if none does.
func Holder(path string) (int, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("opening the lock: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	record := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &record); err != nil {
		return 0, fmt.Errorf("asking for the holder of %s: %w", path, err)
	}
	switch {
	case record.Type == syscall.F_UNLCK:
		return 0, nil
	case record.Pid <= 0:
		return 0, fmt.Errorf("%s is held from another container or machine: %w", path, ErrHeld)
	}
	return int(record.Pid), nil
}

// Process is the process that holds the lock at path, nil if none does. It stands for
// that very process: os.FindProcess pins it, and only then is the holder asked for again.
func Process(path string) (*os.Process, error) {
	pid, err := Holder(path)
	if err != nil || pid == 0 {
		return nil, err
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("finding process %d: %w", pid, err)
	}
	if again, err := Holder(path); err != nil || again != pid {
		return nil, err
	}
	return process, nil
}

func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("writing the process number: %w", err)
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return fmt.Errorf("writing the process number: %w", err)
	}
	return nil
}

// Released returns once no other process holds the lock at path.
func Released(ctx context.Context, path string) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if pid, err := Holder(path); err != nil || pid == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
