package volume

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another opening of the file holds its lock.
var ErrLocked = errors.New("the file is locked")

// Append opens a file for writing at its end. It creates the file and the folders above it if they are missing.
func (v *Volume) Append(path string) (f *os.File, size int64, err error) {
	for range attempts {
		if _, err = v.makeFolder(filepath.Dir(path)); err != nil {
			return nil, 0, err
		}
		f, err = os.OpenFile(v.at(path), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o666)
		if !errors.Is(err, fs.ErrNotExist) { // Another process has removed the empty folder.
			break
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("opening %s for writing: %w", path, err)
	}
	if size, err = f.Seek(0, io.SeekEnd); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("opening %s for writing: %w", path, err), f.Close())
	}
	return f, size, nil
}

// Lock locks a file that is open for writing until the file is closed, also by the end of the
// process. It does not wait: it wraps ErrLocked if the file is locked through another
// opening, in any process. On a network file system the server holds the lock: everything
// that one holder has written is visible to the next one, and Stat of the file is up to date.
func Lock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("locking %s: %w", f.Name(), ErrLocked)
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
	}
}

// checkLock returns nil if the file can be locked, and cannot be locked a second time.
func (v *Volume) checkLock(path string) error {
	for _, want := range []error{nil, ErrLocked} {
		f, _, err := v.Append(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := Lock(f); err != nil && !errors.Is(err, want) {
			return err
		} else if err == nil && want != nil {
			return errors.New("it locked it twice")
		}
	}
	return nil
}
