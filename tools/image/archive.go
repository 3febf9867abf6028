package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// writeArchive writes index to output as an OCI archive, which is an OCI layout in a tar archive.
// Its files are sorted by path and have the time created. If writing fails, output is unchanged.
func writeArchive(output string, index v1.ImageIndex, created time.Time) (err error) {
	work, err := os.MkdirTemp(filepath.Dir(output), ".image-*")
	if err != nil {
		return fmt.Errorf("making a directory for the archive: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if _, err := layout.Write(filepath.Join(work, "layout"), index); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	packed := filepath.Join(work, "packed")
	if err := pack(packed, os.DirFS(filepath.Join(work, "layout")), created); err != nil {
		return fmt.Errorf("packing the image: %w", err)
	}
	return os.Rename(packed, output)
}

// pack writes all files of tree to a tar archive at output, in the sorted order of fs.WalkDir.
func pack(output string, tree fs.FS, created time.Time) error {
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		header := &tar.Header{Name: name + "/", Mode: 0o755, ModTime: created, Format: tar.FormatUSTAR}
		if entry.IsDir() {
			return w.WriteHeader(header)
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		header.Name, header.Mode, header.Size = name, 0o644, int64(len(content))
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	return errors.Join(err, w.Close(), file.Close())
}

// withIndex calls use with the index at the root of an OCI archive, or of
// a directory in the OCI layout. The index is valid until use returns.
func withIndex(name string, use func(v1.ImageIndex) error) (err error) {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("opening the image: %w", err)
	}
	dir := name
	if !info.IsDir() {
		if dir, err = os.MkdirTemp("", "image-*"); err != nil {
			return fmt.Errorf("making a directory for the archive's files: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if err := unpack(name, dir); err != nil {
			return fmt.Errorf("unpacking %s: %w", name, err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return fmt.Errorf("reading %s, which has to be an OCI archive or layout: %w", name, err)
	}
	return use(index)
}

// unpack writes the regular files of the tar archive at name into dir, and refuses paths outside of dir.
func unpack(name, dir string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, path.Clean(header.Name), r); err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
