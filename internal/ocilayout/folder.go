package ocilayout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/files"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// maxParts is how many incomplete files an otherwise empty folder may have.
const maxParts = 100

// folder is a layout in a folder.
type folder struct {
	root *os.Root
	// before are the entries of the existing index.json.
	before []ocispec.Descriptor
}

func createFolder(name string) (*folder, error) {
	if err := os.MkdirAll(name, 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	if err := f.open(name); err != nil {
		f.abandon()
		return nil, err
	}
	clearParts(root, partPrefix)
	return f, nil
}

// open reads the existing content: nothing, a layout, or the files of a run that ended early.
func (f *folder) open(name string) error {
	has := func(file string) bool { _, err := f.root.Lstat(file); return err == nil }
	switch {
	case has(ocispec.ImageIndexFile):
		l, err := oci.OpenLayout(name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotLayout, err)
		}
		f.before = l.Images
		return l.Close()
	case has(ocispec.ImageLayoutFile):
		return nil
	}
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // only read
	there, err := dir.Readdirnames(maxParts + 1)
	switch {
	case len(there) > maxParts, slices.ContainsFunc(there, func(n string) bool { return !strings.HasPrefix(n, partPrefix) }):
		return ErrNotLayout
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	return f.file(ocispec.ImageLayoutFile, version())
}

func (f *folder) entries() []ocispec.Descriptor { return f.before }

// has reads an existing part, and reports whether it has its digest.
func (f *folder) has(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	file, err := (files.Regular{FS: f.root.FS()}).Open(blobPath(d))
	if err != nil {
		return false, ctx.Err()
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil || info.Size() != d.Size {
		return false, ctx.Err()
	}
	verifier := d.Digest.Verifier()
	_, err = io.Copy(verifier, &stopping{stop: ctx.Err, from: file})
	return err == nil && verifier.Verified(), ctx.Err()
}

func (f *folder) put(d ocispec.Descriptor, from io.Reader) error {
	name := blobPath(d)
	if err := f.root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return err
	}
	return f.file(name, from)
}

// file writes a file that gets its name only once it is complete and stored on the
// disk: after a power loss, a file with its name must not be empty.
func (f *folder) file(name string, from io.Reader) error {
	part, to, err := newPart(f.root, partPrefix, 0o666)
	if err != nil {
		return err
	}
	if _, err = io.Copy(to, from); err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err == nil {
		err = f.root.Rename(part, name)
	}
	if err != nil {
		_ = f.root.Remove(part) // err is the error that matters
	}
	return err
}

func (f *folder) finish(index []byte) error {
	return f.file(ocispec.ImageIndexFile, bytes.NewReader(index))
}

func (f *folder) abandon() { _ = f.root.Close() } // no file in it is open

// blobPath returns the path of a part in a layout. The digest of the part must be valid.
func blobPath(d ocispec.Descriptor) string {
	return path.Join(ocispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded())
}
