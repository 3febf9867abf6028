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
	// errOtherWriter is an upload that is not, or no longer, this request's to write to.
	errOtherWriter = fmt.Errorf("%w: another request writes to this upload, or has written to it or ended it meanwhile. Ask for its status, or begin another upload", ErrBusy)
	errClosed      = errors.New("the upload is closed")
)

// Writer opens the data of an upload, which Commit ends.
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

// uploadWriter writes to an upload as its only writer, from its first byte on until it is closed: the file that it writes
// to becomes the content of all tenants, and distribution hashes what it is given, not what the file has.
//
// Each write reaches the file before distribution hashes it. A process that is killed therefore leaves no hash of bytes
// that the file does not have, with which somebody could go on.
type uploadWriter struct {
	d    *Driver
	ctx  context.Context
	path string
	file *os.File
	size int64
	// owned is set once this is the only writer, dirty while what was written may not be on the disk.
	owned, dirty, closed bool
}

// own makes this the only writer of an upload that can still go on and is as long as when it was opened.
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
	// It is opened, not only looked at: a network file system may still show a name whose file is gone.
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

// Close releases the upload, so that another request can go on with it.
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

// end ends the upload: nobody writes to its file any more, whatever request has that open.
func (w *uploadWriter) end() error {
	if err := w.own(); err != nil {
		return err
	}
	own, err := w.file.Stat()
	if err != nil {
		return fmt.Errorf("looking at an upload: %w", err)
	}
	// A collection may have removed it, and somebody else have made another in its place.
	if info, err := w.d.volume.Stat(w.path); errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(own, info) {
		return limitOf(w.ctx).refuse(errOtherWriter)
	} else if err != nil {
		return err
	}
	return w.d.volume.Remove(layout.StartOf(w.path))
}

// Commit writes the upload to the disk, what a process that was killed has left of it included, and ends it whether or not
// its content is put in its place then.
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

// Cancel ends the upload, and removes its data.
func (w *uploadWriter) Cancel(context.Context) error {
	if w.closed {
		return errClosed
	}
	err := w.end()
	w.closed = true
	if err := errors.Join(err, w.file.Close()); err != nil {
		return err
	}
	// After it was closed: a network file system keeps what is open under another name.
	return w.d.volume.Remove(w.path)
}
