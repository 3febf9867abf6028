package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// attempts bounds how often a rename is tried if another process keeps removing its target folder.
const attempts = 1000

// Find is Stat, but first restores a missing file from the trash
// of any cycle. It wraps fs.ErrNotExist if no trash has the file.
func (v *Volume) Find(path string) (fs.FileInfo, error) {
	info, err := v.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	// Stat is repeated because a cycle can restore the file after the first Stat and before rescue reads its trash.
	if err := v.rescue(path); err != nil {
		return nil, err
	}
	return v.Stat(path)
}

func (v *Volume) rescue(path string) error {
	cycles, err := v.Cycles()
	if err != nil {
		return err
	}
	for _, cycle := range cycles {
		if back, err := v.GiveBack(cycle, path); err != nil || back {
			return err
		}
	}
	return nil
}

// Cycles returns the names of the collections that have a trash, in order.
func (v *Volume) Cycles() ([]string, error) {
	entries, err := v.List(trash)
	if err != nil {
		return nil, err
	}
	cycles := make([]string, 0, len(entries))
	for _, e := range entries {
		cycles = append(cycles, e.Name())
	}
	return cycles, nil
}

// HiddenPath returns the path at which a cycle hides the file of the given path.
func HiddenPath(cycle, path string) string { return trash + "/" + cycle + path }

// Hide moves a file into the trash of a cycle. It reports whether the file existed.
func (v *Volume) Hide(cycle, path string) (hidden bool, err error) {
	err = v.WithReserve(func() (err error) {
		hidden, err = v.hide(cycle, path)
		return err
	})
	return hidden, err
}

func (v *Volume) hide(cycle, path string) (bool, error) {
	to := HiddenPath(cycle, path)
	for range attempts {
		if _, err := v.makeFolder(filepath.Dir(to)); err != nil {
			return false, err
		}
		err := os.Rename(v.at(path), v.at(to))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("hiding %s: %w", path, err)
		}
		// The rename has asked the server whether the file exists. Lstat of the file could be answered from a cache.
		if _, err := os.Lstat(filepath.Dir(v.at(to))); err == nil {
			return false, nil
		}
	}
	return false, fmt.Errorf("hiding %s: its folder in the trash was removed %d times meanwhile", path, attempts)
}

// GiveBack restores a file that a cycle has hidden, and makes it young. If the place is taken, both files stay where
// they are. It returns false if the cycle's trash does not have the file, and true if the place has a file now.
func (v *Volume) GiveBack(cycle, path string) (back bool, err error) {
	err = v.WithReserve(func() (err error) {
		back, err = v.giveBack(cycle, path)
		return err
	})
	return back, err
}

func (v *Volume) giveBack(cycle, path string) (bool, error) {
	from := HiddenPath(cycle, path)
	for range attempts {
		if err := v.Touch(from); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		if _, err := v.makeFolder(filepath.Dir(path)); err != nil {
			return false, err
		}
		err := renameNew(v.at(from), v.at(path))
		if err == nil || errors.Is(err, fs.ErrExist) {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("giving %s back: %w", path, err)
		}
	}
	return false, fmt.Errorf("giving %s back: its folder was removed %d times meanwhile", path, attempts)
}

// renameNew renames, and wraps fs.ErrExist if the new name is taken.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// Network file systems lack RENAME_NOREPLACE. A hard link also fails if the name is taken.
	if err := os.Link(from, to); err != nil {
		return err
	}
	if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Hidden calls use for each path that a cycle has hidden, in the order of names, and stops at the first error.
func (v *Volume) Hidden(cycle string, use func(path string) error) error {
	top := v.at(trash + "/" + cycle)
	return filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the trash: %w", err)
		}
		if entry.IsDir() {
			return nil
		}
		return use(filepath.ToSlash(strings.TrimPrefix(name, top)))
	})
}

// Discard deletes a file that a cycle has hidden. It does not touch a file that was restored meanwhile.
func (v *Volume) Discard(cycle, path string) error {
	if err := os.Remove(v.at(HiddenPath(cycle, path))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("discarding %s: %w", path, err)
	}
	return nil
}

// End removes the folders of a cycle. If they still contain a file, it fails and deletes no file.
func (v *Volume) End(cycle string) error {
	var folders []string
	top := v.at(trash + "/" + cycle)
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ending the cycle %s: %w", cycle, err)
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if err := unix.Rmdir(folders[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ending the cycle %s: removing its folder: %w", cycle, err)
		}
	}
	return nil
}

// RemoveEmpty removes the folder at path and the folders above it, up to but excluding upTo, until one is not empty. A
// process that needs a removed folder creates it again.
func (v *Volume) RemoveEmpty(path, upTo string) {
	for ; len(path) > len(upTo) && strings.HasPrefix(path, upTo+"/"); path = filepath.Dir(path) {
		if err := unix.Rmdir(v.at(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}

// SetAsideIf moves a corrupt file out of the tree to /.nfo/corrupt/<time>, where an
// administrator can find it. The file is missing for readers from then on, so that a push or
// a copy can bring it again. It reports whether the file described by was is set aside now.
// If another file has taken its place meanwhile, that file stays, or is restored at once.
func (v *Volume) SetAsideIf(path string, was fs.FileInfo) (bool, error) {
	info, err := v.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(was, info) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	to, err := v.setAside(path)
	if err != nil {
		return false, err
	}
	info, err = v.Stat(to)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || os.SameFile(was, info) {
		return err == nil, err
	}
	if err := renameNew(v.at(to), v.at(path)); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("giving %s back, which another process has just written: %w: move it back from %s", path, err, to)
	}
	return false, nil
}

// setAside returns the file's new path. It succeeds even if the file does not exist.
func (v *Volume) setAside(path string) (string, error) {
	now, err := v.Now()
	if err != nil {
		return "", err
	}
	to := corrupt + "/" + now.UTC().Format("20060102T150405.000000000Z") + path
	if _, err := v.makeFolder(filepath.Dir(to)); err != nil {
		return "", err
	}
	if err := os.Rename(v.at(path), v.at(to)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("setting %s aside: %w", path, err)
	}
	return to, nil
}
