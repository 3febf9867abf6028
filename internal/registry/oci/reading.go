package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// Reading is a Source that reports how many bytes have been read from
// it, and whether its blobs have their digests. It serves one copy.
type Reading struct {
	*Source
	read  func(int64)
	stall time.Duration // the time within which stallBytes of each blob must be read; 0 for no bound
	// targetChecks leaves checking the digests of blobs, but not their sizes, to the target of the copy.
	targetChecks bool
	// spoiled is the error of the first damaged blob. The error of the copy may not show that error,
	// because it can be that of the transport, or of a registry that received fewer bytes than announced.
	spoiled atomic.Pointer[error]
}

// Reading begins one copy of an artifact. read is called with the number of bytes of each read. Within the
// time stall, 64 KiB of each blob must be read; 0 for no bound. With targetChecks, the digests of blobs
// are not computed here, because the target registry refuses blobs whose bytes do not have their digest.
func (s *Source) Reading(read func(int64), stall time.Duration, targetChecks bool) *Reading {
	return &Reading{Source: s, read: read, stall: stall, targetChecks: targetChecks}
}

// Failed returns the error of the first blob that was damaged or stalled, nil if there is none.
func (r *Reading) Failed() error {
	if spoiled := r.spoiled.Load(); spoiled != nil {
		return *spoiled
	}
	return nil
}

// Open opens a part of an artifact. Reading it fails with an error that wraps ErrUnreadable
// if the bytes do not have the part's digest and size, and ErrUnavailable if a registry
// stops sending or sends less than 64 KiB within the time stall, 0 for no bound.
func (s *Source) Open(ctx context.Context, d ocispec.Descriptor, stall time.Duration) (io.ReadCloser, error) {
	body, err := s.Reading(func(int64) {}, stall, false).Fetch(ctx, d)
	if err != nil || s.Host == "" {
		return body, err
	}
	return &received{body, s.Name}, nil
}

// received is a part that a registry sends.
type received struct {
	io.ReadCloser
	name string
}

// Read wraps ErrUnavailable if the connection breaks, because another try can help.
func (r *received) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, failure.ErrUnreadable) && !errors.Is(err, failure.ErrUnavailable) {
		err = fmt.Errorf("reading %s: %w: %w", r.name, failure.ErrUnavailable, err)
	}
	return n, err
}

// Exists reports whether a part exists.
func (r *Reading) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	return r.Storage.Exists(ctx, d)
}

// Fetch opens a part. The bytes of a blob are checked while they are read.
func (r *Reading) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	body := io.NopCloser(bytes.NewReader(r.manifests[d.Digest].Bytes))
	if _, ok := r.manifests[d.Digest]; !ok {
		spoiled := func(err error) error {
			r.spoiled.CompareAndSwap(nil, &err)
			return err
		}
		ctx, end := context.WithCancel(ctx)
		found, err := r.Storage.Fetch(ctx, d)
		if err != nil {
			end()
			return nil, err
		}
		paced := newPaced(&requestBody{body: found}, r.stall, end, func() error {
			return spoiled(fmt.Errorf("%w: reading blob %s of %s: %w", failure.ErrUnavailable, d.Digest, r.Name, errStalled))
		})
		whole := &checked{ReadCloser: paced, size: d.Size, left: d.Size, failed: func(why string) error { return spoiled(r.Spoiled(d.Digest, why)) }}
		if !r.targetChecks {
			whole.verifier = d.Digest.Verifier()
		}
		body = whole
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(body, counter(r.read)), body}, nil
}

// Spoiled returns the error for a blob whose bytes are not those that its source describes.
func (s *Source) Spoiled(d digest.Digest, why string) error {
	return fmt.Errorf("%w: the bytes of blob %s in %s %s: make the source anew", failure.ErrUnreadable, d, s.Name, why)
}

// checked is a blob whose reading ends with an error if the bytes do not have its digest and size.
// In that case the last bytes are not returned, so that no registry can take the blob for complete.
//
// content.VerifyReader is not used, because it returns the last bytes before it
// verifies them, and reports a truncated file in the same way as a broken connection.
type checked struct {
	io.ReadCloser
	verifier digest.Verifier // nil if the target checks the digest
	size     int64
	left     int64
	failed   func(why string) error
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.verifier != nil {
		_, _ = c.verifier.Write(p[:n]) // never fails for a hash
	}
	c.left -= int64(n)
	switch {
	case c.left < 0:
		return 0, c.failed(fmt.Sprintf("are more than the %d that it is said to have", c.size))
	case c.left == 0 && c.verifier != nil && !c.verifier.Verified():
		return 0, c.failed("do not have this digest")
	case c.left > 0 && errors.Is(err, io.EOF):
		return 0, c.failed(fmt.Sprintf("are fewer than the %d that it is said to have", c.size))
	}
	return n, err
}

type counter func(int64)

func (c counter) Write(p []byte) (int, error) {
	c(int64(len(p)))
	return len(p), nil
}
