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
	// keptVerified bounds the memory of which blobs were right to about 20 MiB.
	keptVerified = 100_000
	// quick is up to how many bytes a blob is read whole before it is called present for the first time.
	quick = 64 << 10
)

// verified remembers which files had the content that their digest says: of this size, written at this time.
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

// sound finds a blob. It is absent if it is corrupt, as far as can be said quickly, or after all of it was read.
func (d *Driver) sound(of digest.Digest, whole bool) (fs.FileInfo, error) {
	info, err := d.blob(of)
	if err != nil || d.good.has(of, info) || (!whole && info.Size() > quick) {
		return info, err
	}
	return d.verify(of)
}

// verify reads a blob and compares its digest. It is absent, and set aside, if that is wrong. What has taken its place
// while it was read is read in turn.
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

// compare reads a blob that is not known to be right, and reports whether it is.
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

// checking reads a blob, and fails before its last byte is given if its content is not what its digest says.
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
		// Another reading decides: this one may have met a bad cable.
		_, err := r.d.verify(r.of)
		return 0, fmt.Errorf("reading the blob %s: its content is not what its digest says: %w", r.of, err)
	}
	r.d.good.kept.Add(r.of, r.stamp)
	return n, err
}

// WriteTo is hidden: it would pass the check by.
func (r *checkedReader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

type committingKey struct{}

// commit marks what happens while an upload is put in its place: content that is there already is read whole before
// the upload is dropped for it.
func commit(ctx context.Context) context.Context {
	return context.WithValue(ctx, committingKey{}, true)
}

func committing(ctx context.Context) bool { return ctx.Value(committingKey{}) != nil }
