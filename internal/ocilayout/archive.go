package ocilayout

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// archive is a layout in a tar archive. It is written to a temporary
// file in the same folder, which finally replaces the archive.
type archive struct {
	name string
	// folder contains the archive, and part is the name of the temporary file in it.
	folder *os.Root
	part   string
	file   *os.File
	tar    *tar.Writer
	// before is the existing archive, nil for none.
	before *oci.Layout
}

func createArchive(name string) (*archive, error) {
	a := &archive{name: name}
	switch _, err := os.Lstat(name); {
	case err == nil:
		if a.before, err = oci.OpenLayoutArchive(name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotLayout, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := a.create(); err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.tar = tar.NewWriter(a.file)
	text := version()
	if err := a.entry(ocispec.ImageLayoutFile, text.Size(), text); err != nil {
		a.abandon()
		return nil, err
	}
	return a, nil
}

// create creates the temporary file, with the mode of the archive that it
// replaces. A new archive has the mode that any new file has, as in a folder.
func (a *archive) create() error {
	mode := os.FileMode(0o666)
	if info, err := os.Stat(a.name); err == nil {
		mode = info.Mode().Perm()
	}
	var err error
	if a.folder, err = os.OpenRoot(filepath.Dir(a.name)); err != nil {
		return err
	}
	prefix := partPrefix + filepath.Base(a.name) + "-"
	clearParts(a.folder, prefix)
	if a.part, a.file, err = newPart(a.folder, prefix, mode); err != nil {
		return err
	}
	if a.before != nil { // the umask does not count for what exists
		err = a.file.Chmod(mode)
	}
	if err != nil {
		err = errors.Join(err, a.file.Close(), a.folder.Remove(a.part))
	}
	return err
}

// entries returns nothing, because an archive contains only the images of this run.
func (a *archive) entries() []ocispec.Descriptor { return nil }

// has copies a part from the archive that existed before, if that has it.
func (a *archive) has(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	if a.before == nil {
		return false, nil
	}
	if whole, err := intact(ctx, a.before, d); err != nil || !whole {
		return false, err
	}
	return true, copyPart(ctx, a, d, a.before.Blob)
}

func (a *archive) put(d ocispec.Descriptor, from io.Reader) error {
	return a.entry(blobPath(d), d.Size, from)
}

// entry writes a file into the archive. After an error, the
// incomplete file is cut off, so that it can be written again.
func (a *archive) entry(name string, size int64, from io.Reader) error {
	if err := a.tar.Flush(); err != nil { // what was written before is complete
		return err
	}
	begin, err := a.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	// In GNU's format the header of a file of any size is one block,
	// and some readers of single files seek back by exactly one block.
	err = a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatGNU})
	if err == nil {
		_, err = io.Copy(a.tar, from)
	}
	if err == nil {
		err = a.tar.Flush()
	}
	if err == nil {
		return nil
	}
	a.tar = tar.NewWriter(a.file)
	_, seeking := a.file.Seek(begin, io.SeekStart)
	return errors.Join(err, seeking, a.file.Truncate(begin))
}

func (a *archive) finish(index []byte) error {
	err := a.entry(ocispec.ImageIndexFile, int64(len(index)), bytes.NewReader(index))
	if err == nil {
		err = errors.Join(a.tar.Close(), a.file.Sync(), a.file.Close(), a.closeBefore())
	}
	if err == nil {
		err = a.folder.Rename(a.part, filepath.Base(a.name))
	}
	if err == nil {
		a.file = nil
		_ = a.folder.Close() // no file in it is open
	}
	return err
}

func (a *archive) closeBefore() error {
	if a.before == nil {
		return nil
	}
	return a.before.Close()
}

// close closes what is open beside the temporary file.
func (a *archive) close() error {
	if a.folder == nil {
		return a.closeBefore()
	}
	return errors.Join(a.closeBefore(), a.folder.Close())
}

func (a *archive) abandon() {
	if a.file == nil {
		return
	}
	_ = errors.Join(a.file.Close(), a.folder.Remove(a.part), a.close()) // the file is no longer needed
	a.file = nil
}
