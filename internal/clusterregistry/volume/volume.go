package volume

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	own     = "/.nfo"
	trash   = own + "/trash"
	corrupt = own + "/corrupt"

	// Scratch holds files that are needed for a moment. Old ones are leftovers.
	Scratch = own + "/scratch"
	// Scrub holds how far the check of all blobs came.
	Scrub = own + "/scrub"
	// Deletions holds a file for each revision that the next collection is asked to delete.
	Deletions = own + "/deletions"
)

// ErrTooLarge is a file with more bytes than its reader takes.
var ErrTooLarge = errors.New("the file is too large")

// Options are what Open can be given. The zero value is what most want.
type Options struct {
	// Stale overrides how old another process's view of the volume can be, which is read from the mount otherwise.
	Stale *time.Duration
	// View replaces how files are looked at, which tests do for views that are out of date.
	View View
}

// View looks at files. The system's is used unless a test gives another.
type View interface {
	Lstat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
}

// Volume is safe for concurrent use.
type Volume struct {
	root  string
	view  View
	kind  Kind
	stale time.Duration
}

// Open makes the volume's folder if it is missing, and finds out what file system it is on. It does not try the
// volume: Probe does.
func Open(root string, o Options) (*Volume, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("finding the folder %s: %w", root, err)
	}
	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, fmt.Errorf("making the folder of the registry: %w", err)
	}
	v := &Volume{root: root, view: system{}}
	if v.kind, v.stale, err = fileSystemOf(root); err != nil {
		return nil, err
	}
	if o.Stale != nil {
		v.stale = *o.Stale
	}
	if o.View != nil {
		v.view = o.View
	}
	return v, nil
}

// Root is the folder that the volume is.
func (v *Volume) Root() string { return v.root }

// Kind is the file system that the volume is on.
func (v *Volume) Kind() Kind { return v.kind }

// Stale is how old what a process sees of the volume can be: 0 where all processes see the same.
func (v *Volume) Stale() time.Duration { return v.stale }

// at is the file of a path, which has no dots in it: it is made by layout, or by distribution, which cleans it.
func (v *Volume) at(path string) string { return v.root + path }

type system struct{}

func (system) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }
func (system) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat is the file at a path. It wraps fs.ErrNotExist if none exists, also when the path leads through a file.
func (v *Volume) Stat(path string) (fs.FileInfo, error) {
	info, err := v.view.Lstat(v.at(path))
	if err != nil && v.stale > 0 && again(err) {
		// A folder that is read makes the client of a network file system ask its server again.
		_, _ = v.view.ReadDir(filepath.Dir(v.at(path)))
		info, err = v.view.Lstat(v.at(path))
	}
	if errors.Is(err, unix.ENOTDIR) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", path, err)
	}
	return info, nil
}

// Missing reports whether an error says that no file has this name. A name below a file, and a folder in
// place of a file, are not: no writer makes them, and nothing is deleted because of them.
func Missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR)
}

// again reports whether the error can come from a view that is out of date.
func again(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESTALE) }

// List is what is in a folder, by name. It is empty for a folder that is not there.
func (v *Volume) List(path string) ([]fs.DirEntry, error) {
	entries, err := v.view.ReadDir(v.at(path))
	if errors.Is(err, unix.ESTALE) {
		entries, err = v.view.ReadDir(v.at(path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", path, err)
	}
	return entries, nil
}

// Open opens a file for reading. It wraps fs.ErrNotExist if none exists. A symbolic link is not followed, and a pipe
// keeps nobody waiting: the registry makes neither.
func (v *Volume) Open(path string) (*os.File, error) {
	const flags = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(v.at(path), flags, 0)
	if errors.Is(err, unix.ESTALE) {
		f, err = os.OpenFile(v.at(path), flags, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return f, nil
}

// ReadFile reads a file of at most that many bytes: it wraps ErrTooLarge if there are more.
func (v *Volume) ReadFile(path string, most int64) ([]byte, error) {
	f, err := v.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("reading %s: %w: more than %d bytes", path, ErrTooLarge, most)
	}
	return content, nil
}

// Touch makes a file young: its time is the volume's now. It wraps fs.ErrNotExist if none exists.
func (v *Volume) Touch(path string) error {
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, v.at(path), now, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the time of %s: %w", path, err)
	}
	return nil
}

// Remove deletes a file that is not content, at once. A missing one is not an error.
func (v *Volume) Remove(path string) error {
	if err := os.Remove(v.at(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// Now is the time of the volume. Its granularity can be a second. It takes no room, so that a full volume has a time.
func (v *Volume) Now() (time.Time, error) {
	if err := os.MkdirAll(v.at(Scratch), 0o777); err != nil {
		return time.Time{}, fmt.Errorf("asking the volume for the time: %w", err)
	}
	if err := v.Touch(Scratch); err != nil {
		return time.Time{}, fmt.Errorf("asking the volume for the time: %w", err)
	}
	info, err := os.Lstat(v.at(Scratch))
	if err != nil {
		return time.Time{}, fmt.Errorf("asking the volume for the time: %w", err)
	}
	return info.ModTime(), nil
}
