// Package lock locks files, and finds the process that holds a lock.
//
// The locks are POSIX record locks. The kernel releases a lock when its process ends, and reports the
// process that holds it. So neither a file that a crash left behind nor a reused process number can mislead.
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

// Take locks path, which it creates if necessary, and writes this process's number into it for people
// to read. Closing the file releases the lock. The error is ErrHeld if another process holds the lock.
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
		if err := f.Close(); err != nil { // the last holder removed the file between our open and our lock
			return nil, fmt.Errorf("closing the lock: %w", err)
		}
	}
}

// Wait is like Take, but waits for the lock. If it has to wait, it
// calls onWait once with the number of the process that holds the lock.
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

// Holder returns the number of the other process that holds the lock at path, or 0 if none does.
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

// Process returns the process that holds the lock at path, or nil if none does. The process cannot be confused with
// a later one of the same number: os.FindProcess pins it, and Process then checks the lock's holder a second time.
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
