package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write puts a file in its place at once, whole, young, and over one that is there. It is on the disk when Write
// returns, with all folders that it made, unless it is volatile: then a power cut may lose it.
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

// Move puts the file of one path in place of another, as Write does. The file's own bytes must be on the disk.
func (v *Volume) Move(from, to string) error {
	if _, err := v.Stat(from); err != nil {
		return err
	}
	return v.publish(to, false, func(string) (string, error) { return v.at(from), nil })
}

// publish renames what put gives to a path. Put gets the path's folder, which somebody else may remove while it is
// empty: then all is done again. A look at the folder would not tell: one that is being removed is seen for a moment more.
func (v *Volume) publish(path string, volatile bool, put func(folder string) (string, error)) error {
	var err error
	for range attempts {
		var made []string
		made, err = v.place(path, put)
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

// place is one attempt of publish. It returns the folders whose entries it changed above the path's own.
func (v *Volume) place(path string, put func(folder string) (string, error)) ([]string, error) {
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

// makeFolder makes a folder and those above it, and returns the folders whose entries it changed.
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

// flush writes folders to the disk. One that has gone meanwhile was empty: anyone who removed it waits for nobody.
func (v *Volume) flush(folders []string) error {
	for _, folder := range folders {
		f, err := os.Open(v.at(folder))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("writing the folder %s to the disk: %w", folder, err)
		}
		// Some network file systems cannot flush a folder, and need not: their server has it.
		if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
			return errors.Join(fmt.Errorf("writing the folder %s to the disk: %w", folder, err), f.Close())
		}
		_ = f.Close()
	}
	return nil
}

// Usage is how much of the volume is used, in bytes and in files.
type Usage struct {
	// Size is what the volume has in all, Free what unprivileged processes can still write.
	Size, Free int64
	// Files is how many files the volume can have in all, and FreeFiles how many more. 0 if the file system has no bound.
	Files, FreeFiles int64
}

// Used is what is not free.
func (u Usage) Used() int64 { return u.Size - u.Free }

// Usage asks the file system.
func (v *Volume) Usage() (Usage, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(v.root, &s); err != nil {
		return Usage{}, fmt.Errorf("asking the volume for its usage: %w", err)
	}
	// What is kept back for the superuser is not for the registry: it counts as neither.
	blocks := s.Blocks - s.Bfree + s.Bavail
	return Usage{Size: int64(blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize, Files: int64(s.Files), FreeFiles: int64(s.Ffree)}, nil
}
