package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

const (
	// keptVerified bounds the memory for the verified blobs to about 20 MiB.
	keptVerified = 100_000
	// quick is the size in bytes up to which a blob is verified before it is first reported as present.
	quick = 64 << 10
)

// verified remembers which files had the content of their digest, with their size and time at that moment.
type verified struct {
	kept *lru.Cache[digest.Digest, stamp]
}

type stamp struct {
	size int64
	time time.Time
}

func stampOf(info fs.FileInfo) stamp { return stamp{size: info.Size(), time: info.ModTime()} }

func (v *verified) has(of digest.Digest, info fs.FileInfo) bool {
	kept, ok := v.kept.Get(of)
	return ok && kept == stampOf(info)
}

// sound finds a blob. It wraps fs.ErrNotExist if the blob is corrupt.
// Unless whole is set, it verifies only blobs of at most quick bytes.
func (d *Driver) sound(of digest.Digest, whole bool) (fs.FileInfo, error) {
	info, err := d.blob(of)
	if err != nil || d.good.has(of, info) || (!whole && info.Size() > quick) {
		return info, err
	}
	return d.verify(of)
}

// verify reads a blob and compares its digest. A corrupt blob is set aside, and the error wraps fs.ErrNotExist. If
// another file has taken its place meanwhile, verify reads that file too.
func (d *Driver) verify(of digest.Digest) (fs.FileInfo, error) {
	for {
		info, right, err := d.compare(of)
		if err != nil || right {
			return info, err
		}
		aside, err := d.volume.SetAsideIf(layout.BlobPath(of), info)
		if err != nil {
			return nil, err
		}
		if aside {
			d.log.Error("set a corrupt blob aside: push or copy what needs it again", "digest", of)
			return nil, absent("the blob %s is corrupt and was set aside", of)
		}
	}
}

// compare reports whether a blob has the content of its digest. It reads the blob unless it was verified before.
func (d *Driver) compare(of digest.Digest) (info fs.FileInfo, right bool, err error) {
	f, err := d.volume.Open(layout.BlobPath(of))
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }()
	info, err = f.Stat()
	if err != nil || d.good.has(of, info) {
		return info, err == nil, err
	}
	verifier := of.Verifier()
	if _, err := io.Copy(verifier, f); err != nil {
		return nil, false, fmt.Errorf("reading the blob %s: %w", of, err)
	}
	if right = verifier.Verified(); right {
		d.good.kept.Add(of, stampOf(info))
	}
	return info, right, nil
}

// checking returns a reader that fails before it returns the last byte if the content does not match its digest.
func (d *Driver) checking(f *os.File, of digest.Digest) (io.ReadCloser, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &checkedReader{File: f, d: d, of: of, left: info.Size(), stamp: stampOf(info), verifier: of.Verifier()}, nil
}

type checkedReader struct {
	*os.File
	d        *Driver
	of       digest.Digest
	left     int64
	stamp    stamp
	verifier digest.Verifier
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	if n == 0 {
		return n, err
	}
	_, _ = r.verifier.Write(p[:n]) // A hash takes everything.
	if r.left -= int64(n); r.left > 0 {
		return n, err
	}
	if !r.verifier.Verified() {
		// A second read decides: the error may have happened on the way from the disk.
		_, err := r.d.verify(r.of)
		return 0, fmt.Errorf("reading the blob %s: its content is not what its digest says: %w", r.of, err)
	}
	r.d.good.kept.Add(r.of, r.stamp)
	return n, err
}

// WriteTo hides the method of os.File, which would bypass the check.
func (r *checkedReader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

type committingKey struct{}

// commit returns a context for committing an upload: content that exists
// already is verified completely before the upload is dropped in favor of it.
func commit(ctx context.Context) context.Context {
	return context.WithValue(ctx, committingKey{}, true)
}

func committing(ctx context.Context) bool { return ctx.Value(committingKey{}) != nil }
