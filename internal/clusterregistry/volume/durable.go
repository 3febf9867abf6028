package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write creates or replaces a file atomically. The new file is young. When Write returns, the file and all folders that
// it created are on the disk, unless it is volatile: a power cut may lose a volatile file.
func (v *Volume) Write(path string, content []byte, volatile bool) error {
	return v.publish(path, volatile, func(folder string) (string, error) {
		f, err := os.CreateTemp(folder, filepath.Base(path)+".*.tmp")
		if err != nil {
			return "", err
		}
		_, err = f.Write(content)
		if err == nil {
			err = f.Chmod(0o644)
		}
		if err == nil && !volatile {
			err = f.Sync()
		}
		return f.Name(), errors.Join(err, f.Close())
	})
}

// Move moves a file from one path to another, with the guarantees
// of Write. The file's own bytes must already be on the disk.
func (v *Volume) Move(from, to string) error {
	if _, err := v.Stat(from); err != nil {
		return err
	}
	return v.publish(to, false, func(string) (string, error) { return v.at(from), nil })
}

// publish renames the file that put returns to path. Another process may remove path's
// folder while the folder is empty: publish then starts over. Checking the folder first
// would not help, because a folder that is being removed stays visible for a moment.
func (v *Volume) publish(path string, volatile bool, put func(folder string) (string, error)) error {
	var err error
	for range attempts {
		var made []string
		made, err = v.publishOnce(path, put)
		if err == nil && volatile {
			return nil
		}
		if err == nil {
			return v.flush(append(made, filepath.Dir(path)))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return fmt.Errorf("writing %s: %w", path, err)
}

// publishOnce makes one attempt of publish. It returns the folders above the path's own folder whose entries it changed.
func (v *Volume) publishOnce(path string, put func(folder string) (string, error)) ([]string, error) {
	folder := filepath.Dir(path)
	changed, err := v.makeFolder(folder)
	if err != nil {
		return nil, err
	}
	source, err := put(v.at(folder))
	if err == nil {
		err = os.Rename(source, v.at(path))
	}
	if err != nil && source != "" && filepath.Dir(source) == v.at(folder) {
		_ = os.Remove(source)
	}
	return changed, err
}

// makeFolder creates a folder and those above it, and returns the folders whose entries it changed.
func (v *Volume) makeFolder(folder string) (changed []string, err error) {
	for range attempts {
		err = unix.Mkdir(v.at(folder), 0o777)
		if err == nil {
			return append(changed, filepath.Dir(folder)), nil
		}
		if errors.Is(err, fs.ErrExist) {
			return changed, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || folder == "/" {
			break
		}
		above, err := v.makeFolder(filepath.Dir(folder))
		if err != nil {
			return nil, err
		}
		changed = append(changed, above...)
	}
	return nil, fmt.Errorf("making the folder %s: %w", folder, err)
}

// flush writes folders to the disk. It skips a folder that is missing: that
// folder was empty when it was removed, so nothing in it needs to be durable.
func (v *Volume) flush(folders []string) error {
	for _, folder := range folders {
		f, err := os.Open(v.at(folder))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("writing the folder %s to the disk: %w", folder, err)
		}
		// Some network file systems cannot flush a folder, and need not: the server already has the entries.
		if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
			return errors.Join(fmt.Errorf("writing the folder %s to the disk: %w", folder, err), f.Close())
		}
		_ = f.Close()
	}
	return nil
}

// Usage is how much of the volume is used, in bytes and in files.
type Usage struct {
	// Size is the total size, Free the space that unprivileged processes can still write.
	Size, Free int64
	// Files is the maximum number of files, FreeFiles how many can
	// still be created. Both are 0 if the file system has no limit.
	Files, FreeFiles int64
}

// Used returns the part of Size that is not free.
func (u Usage) Used() int64 { return u.Size - u.Free }

// Usage reads the usage from the file system.
func (v *Volume) Usage() (Usage, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(v.root, &s); err != nil {
		return Usage{}, fmt.Errorf("asking the volume for its usage: %w", err)
	}
	// The registry cannot use the blocks that are reserved for the superuser: they count neither as size nor as free.
	blocks := s.Blocks - s.Bfree + s.Bavail
	return Usage{Size: int64(blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize, Files: int64(s.Files), FreeFiles: int64(s.Ffree)}, nil
}
