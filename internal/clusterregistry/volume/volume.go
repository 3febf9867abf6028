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

	// Scratch holds temporary files. Old ones are leftovers.
	Scratch = own + "/scratch"
	// Scrub holds the progress of the check of all blobs.
	Scrub = own + "/scrub"
	// Deletions holds one file for each revision that the next collection is asked to delete.
	Deletions = own + "/deletions"
)

// ErrTooLarge means that a file has more bytes than its reader accepts.
var ErrTooLarge = errors.New("the file is too large")

// Options configure Open. The zero value suits most callers.
type Options struct {
	// Stale overrides how old the state that a process sees can be. By default it is derived from the mount.
	Stale *time.Duration
	// View replaces how files are read. Tests use it to simulate an outdated view.
	View View
}

// View reads file metadata and folders. Open uses the operating system's unless Options has another.
type View interface {
	Lstat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
}

// Volume is one shared directory. It is safe for concurrent use.
type Volume struct {
	root  string
	view  View
	kind  Kind
	stale time.Duration
}

// Open creates the volume's folder if it is missing, and finds out
// which file system it is on. It does not test the volume: Probe does.
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

// Root returns the folder of the volume.
func (v *Volume) Root() string { return v.root }

// Kind returns the type of file system that the volume is on.
func (v *Volume) Kind() Kind { return v.kind }

// Stale returns how old the state that a process sees of the volume can be: 0 if all processes see the same state.
func (v *Volume) Stale() time.Duration { return v.stale }

// at returns the file name of a path. The path has no "..": layout makes it, or distribution, which cleans it.
func (v *Volume) at(path string) string { return v.root + path }

type system struct{}

func (system) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }
func (system) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat returns the metadata of the file at path. It wraps fs.ErrNotExist
// if the file does not exist, also if path leads through a file.
func (v *Volume) Stat(path string) (fs.FileInfo, error) {
	info, err := v.view.Lstat(v.at(path))
	if err != nil && v.stale > 0 && mayBeStale(err) {
		// Reading the folder makes the client of a network file system ask its server again.
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

// Missing reports whether an error says that no file exists at a path. A path that leads through a file, and a folder
// in place of a file, also count as missing: no writer makes them, and nothing is deleted because of them.
func Missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR)
}

// mayBeStale reports whether the error can come from a view that is out of date.
func mayBeStale(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESTALE) }

// List returns the entries of a folder, sorted by name. It returns none for a missing folder.
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

// Open opens a file for reading. It wraps fs.ErrNotExist if the file does not exist. It does not follow symbolic links,
// and does not wait for the writer of a pipe: the registry creates neither.
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

// ReadFile reads a file of at most limit bytes. It wraps ErrTooLarge if the file is larger.
func (v *Volume) ReadFile(path string, limit int64) ([]byte, error) {
	f, err := v.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("reading %s: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	return content, nil
}

// Touch makes a file young: it sets the file's time to the volume's
// current time. It wraps fs.ErrNotExist if the file does not exist.
func (v *Volume) Touch(path string) error {
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, v.at(path), now, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the time of %s: %w", path, err)
	}
	return nil
}

// Remove deletes a file at once, without the trash. It is for
// files that are not content. A missing file is not an error.
func (v *Volume) Remove(path string) error {
	if err := os.Remove(v.at(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// Now returns the time of the volume. Its granularity can be a
// second. It needs no space, so it also works on a full volume.
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
