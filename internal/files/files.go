// Package files opens the files that a person names on the command line, and the files that belong to them.
//
// A person who names a file means that file, even if its name goes through links. The person has not named the
// files next to it or below it, such as the provenance of a chart or the blobs of a layout. Those files may come
// from elsewhere, as links to files that only this person can read, and what is read here is sent to a registry.
//
// Decision: a file next to the named one is never opened through a link, and a
// file below a named folder only through links that stay in that folder. Rejected:
// resolving links and comparing paths, because a link can be changed in between.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

var (
	// ErrNotRegular means that a name refers to a folder, a device,
	// a pipe, a socket or a link that must not be followed.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge means that a file exceeds the maximum size.
	ErrTooLarge = errors.New("too large")
)

// Open opens a regular file that a person named. It follows links in the
// name. Errors are ErrNotRegular, without the name, or those of package os.
func Open(name string) (*os.File, error) {
	info, err := os.Stat(name) // first, because opening a pipe could block forever
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := same(file, info); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// ReadBeside reads the file name in the folder of a file that a person named, at most
// most bytes. The file must not be a link, not even to a file of the same folder.
// Errors wrap fs.ErrNotExist, ErrNotRegular or ErrTooLarge, or are those of package os.
func ReadBeside(named, name string, most int64) ([]byte, error) {
	folder, err := os.OpenRoot(filepath.Dir(named))
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }() // only read
	info, err := folder.Lstat(name)
	if err != nil {
		return nil, err
	}
	file, err := openAs(folder.FS(), name, info)
	if err != nil {
		return nil, fmt.Errorf("in the folder %s: %w", filepath.Dir(named), err)
	}
	defer func() { _ = file.Close() }() // only read
	data, err := Read(file, most)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(filepath.Dir(named), name), err)
	}
	return data, nil
}

// Read reads at most most bytes. Errors wrap ErrTooLarge if there are more.
func Read(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, most)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Regular is a file system that opens only the regular files of another file system, which may follow links.
type Regular struct{ fs.FS }

// Open opens a regular file. Errors wrap fs.ErrNotExist or ErrNotRegular, or are those of the file system.
func (r Regular) Open(name string) (fs.File, error) {
	info, err := r.Stat(name)
	if err != nil {
		return nil, err
	}
	return openAs(r.FS, name, info)
}

// Stat describes a regular file. Its errors are those of Open.
func (r Regular) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(r.FS, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	return info, err
}

// openAs opens the file that info describes, if that is a regular file and was not replaced in between.
func openAs(in fs.FS, name string, info fs.FileInfo) (fs.File, error) {
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	file, err := in.Open(name)
	if err != nil {
		return nil, err
	}
	if err := same(file, info); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: err}, file.Close())
	}
	return file, nil
}

// same checks that an open file is the file that was described
// before, because a link may have replaced it in between.
func same(file fs.File, before fs.FileInfo) error {
	now, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(before, now) {
		return fmt.Errorf("%w: it was replaced while it was opened", ErrNotRegular)
	}
	return nil
}
