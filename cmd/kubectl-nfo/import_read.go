package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/files"
)

// sources reads all files; those in a directory are read in the order of their names.
func (f *importFlags) sources() ([]input.Source, error) {
	r := &fileReader{in: f.streams.In, recursive: f.recursive}
	for _, name := range f.files {
		if err := r.add(name); err != nil {
			return nil, err
		}
	}
	if len(r.sources) == 1 { // then paths in findings need no file name
		r.sources[0].Name = ""
	}
	return r.sources, nil
}

// fileReader reads files within the bounds of one import.
type fileReader struct {
	in        io.Reader
	recursive bool
	sources   []input.Source
	size      int
}

func (r *fileReader) add(name string) error {
	if name == "-" {
		return r.read("standard input", r.in, false)
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return r.open(name, false)
	}
	found := false
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != name && !r.recursive:
			return filepath.SkipDir
		case entry.IsDir() || !strings.EqualFold(filepath.Ext(path), ".json"):
			return nil
		}
		found = true
		return r.open(path, true)
	})
	if err == nil && !found {
		err = fmt.Errorf("the directory %s has no file whose name ends in .json", name)
	}
	return err
}

func (r *fileReader) open(name string, stray bool) error {
	open := os.Open
	if stray { // it may be a pipe, which could block forever
		open = files.Open
	}
	file, err := open(name)
	if errors.Is(err, files.ErrNotRegular) {
		return fmt.Errorf("%s is %w: remove it from the directory, or name the files to import", name, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	return r.read(name, file, stray)
}

// read reads one file, up to one byte more than the remaining bytes of an import.
func (r *fileReader) read(name string, in io.Reader, stray bool) error {
	data, err := io.ReadAll(io.LimitReader(in, int64(document.MaxBytes-r.size+1)))
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if r.size += len(data); r.size > document.MaxBytes && len(r.sources) > 0 {
		return errors.New("the files have more than 64 MiB; import them in parts")
	}
	r.sources = append(r.sources, input.Source{Name: name, Data: data, Stray: stray})
	return nil
}
