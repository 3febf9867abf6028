package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

var (
	// errOtherWriter means that this request may not, or no longer, write to the upload.
	errOtherWriter = fmt.Errorf("%w: another request writes to this upload, or has written to it or ended it meanwhile. Ask for its status, or begin another upload", ErrBusy)
	errClosed      = errors.New("the upload is closed")
)

// Writer opens the data of an upload. Commit ends the upload.
func (d *Driver) Writer(ctx context.Context, file string, add bool) (storagedriver.FileWriter, error) {
	f, size, err := d.volume.Append(file)
	if err != nil {
		return nil, d.error(file, err)
	}
	if !add {
		if err := f.Truncate(0); err != nil {
			return nil, d.error(file, errors.Join(err, f.Close()))
		}
		size = 0
	}
	return &uploadWriter{d: d, ctx: ctx, path: file, file: f, size: size}, nil
}

// uploadWriter is the only writer of an upload from its first write until it is
// closed. This is necessary because the file becomes the content of all tenants,
// and distribution hashes the bytes that it received, not the bytes in the file.
//
// Each write reaches the file before distribution hashes it. A process that is killed therefore leaves no hash state of
// bytes that are missing in the file, from which a client could continue.
type uploadWriter struct {
	d    *Driver
	ctx  context.Context
	path string
	file *os.File
	size int64
	// owned is set while this is the only writer. dirty is set while written bytes may not be on the disk.
	owned, dirty, closed bool
}

// own makes this the only writer of an upload that has not ended and is as long as when it was opened.
func (w *uploadWriter) own() error {
	if w.closed {
		return errClosed
	}
	if w.owned {
		return nil
	}
	if err := volume.Lock(w.file); errors.Is(err, volume.ErrLocked) {
		return limitOf(w.ctx).refuse(errOtherWriter)
	} else if err != nil {
		return err
	}
	info, err := w.file.Stat()
	if err != nil {
		return fmt.Errorf("looking at an upload: %w", err)
	}
	// Stat is not enough: a network file system may still show a name whose file is deleted.
	start, err := w.d.volume.Open(layout.StartOf(w.path))
	if err == nil {
		err = start.Close()
	}
	if err != nil && !volume.Missing(err) {
		return err
	}
	if err != nil || info.Size() != w.size {
		return limitOf(w.ctx).refuse(errOtherWriter)
	}
	w.owned = true
	return nil
}

func (w *uploadWriter) Write(p []byte) (int, error) {
	if err := w.own(); err != nil {
		return 0, err
	}
	w.dirty = true
	n, err := w.file.Write(p)
	w.size += int64(n)
	return n, err
}

func (w *uploadWriter) Size() int64 { return w.size }

// Close releases the upload, so that another request can continue it.
func (w *uploadWriter) Close() error {
	if w.closed {
		return errClosed
	}
	w.closed = true
	return errors.Join(w.sync(), w.file.Close())
}

func (w *uploadWriter) sync() error {
	if !w.dirty {
		return nil
	}
	w.dirty = false
	return w.file.Sync()
}

// end ends the upload: after that no request writes to its file, even if it has the file open.
func (w *uploadWriter) end() error {
	if err := w.own(); err != nil {
		return err
	}
	own, err := w.file.Stat()
	if err != nil {
		return fmt.Errorf("looking at an upload: %w", err)
	}
	// A collection may have removed the file, and another request may have created a new one in its place.
	if info, err := w.d.volume.Stat(w.path); errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(own, info) {
		return limitOf(w.ctx).refuse(errOtherWriter)
	} else if err != nil {
		return err
	}
	return w.d.volume.Remove(layout.StartOf(w.path))
}

// Commit writes the upload to the disk, including bytes that a killed process has left, and ends the upload, even if
// its content is not moved into place afterwards.
func (w *uploadWriter) Commit(context.Context) error {
	if err := w.own(); err != nil {
		return err
	}
	w.dirty = true
	if err := w.sync(); err != nil {
		return err
	}
	return w.end()
}

// Cancel ends the upload and removes its data.
func (w *uploadWriter) Cancel(context.Context) error {
	if w.closed {
		return errClosed
	}
	err := w.end()
	w.closed = true
	if err := errors.Join(err, w.file.Close()); err != nil {
		return err
	}
	// The data is removed after the file is closed, because a
	// network file system keeps an open file under another name.
	return w.d.volume.Remove(w.path)
}
