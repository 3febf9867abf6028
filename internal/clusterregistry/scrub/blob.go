package scrub

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// blob reads a blob, and sets it aside if two reads of the same file gave a wrong hash. It returns an error only if ctx
// ends; it reports other errors as unreadable blobs.
func (p *pass) blob(ctx context.Context, d digest.Digest) error {
	first, right, err := p.read(ctx, d)
	if err == nil && first != nil {
		p.report.Blobs++
		p.report.Bytes += first.Size()
		p.options.Read(first.Size())
	}
	if err != nil || first == nil || right {
		return p.unlessEnded(ctx, d, err)
	}
	// The second read comes from the disk, so it is right if a faulty cable or memory has changed the first one.
	second, right, err := p.read(ctx, d)
	if err != nil || second == nil || right || !os.SameFile(first, second) {
		return p.unlessEnded(ctx, d, err)
	}
	aside, err := p.volume.SetAsideIf(layout.BlobPath(d), second)
	if aside {
		p.corrupt(d, second.Size())
	}
	return p.unlessEnded(ctx, d, err)
}

func (p *pass) unlessEnded(ctx context.Context, d digest.Digest, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.unreadable(d, err)
	return nil
}

// read reads a blob, and reports whether it matches its digest. info is nil if the blob does not exist.
func (p *pass) read(ctx context.Context, d digest.Digest) (info fs.FileInfo, right bool, err error) {
	f, err := p.volume.Open(layout.BlobPath(d))
	if vanished(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer func() {
		// No client needs these bytes: they must not displace others from
		// the page cache, and the second read must not come from it.
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		_ = f.Close()
	}()
	info, err = f.Stat()
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, nil
	}
	verifier := d.Verifier()
	_, err = io.CopyBuffer(onlyWriter{verifier}, &limited{ctx: ctx, p: p, f: f}, make([]byte, p.chunk))
	if errors.Is(err, unix.ESTALE) { // Another client has deleted the file.
		return nil, false, nil
	}
	return info, err == nil && verifier.Verified(), err
}

func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ESTALE)
}

// onlyWriter hides ReadFrom, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// limited reads a file at the rate of the pass.
type limited struct {
	ctx context.Context
	p   *pass
	f   *os.File
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.f.Read(b)
	if waited := l.p.limit.WaitN(l.ctx, n); waited != nil {
		return 0, waited
	}
	return n, err
}
