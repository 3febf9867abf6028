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

// Reading is a Source that tells how many bytes have been read from it, and whether they are what their
// digests say. It serves one copy.
type Reading struct {
	*Source
	read  func(int64)
	stall time.Duration // in what time stallBytes of each blob have to move; 0 for no bound
	// targetChecks leaves the digests of blobs, not their sizes, to where the copy goes.
	targetChecks bool
	// spoiled is the first blob that is not. The copy's own error may not show it: the transport, or the
	// registry that was sent less than announced, speaks first.
	spoiled atomic.Pointer[error]
}

// Reading begins one copy of an artifact. read is called with the bytes that have been read; in the time stall 64 KiB of each
// blob have to move, 0 for no bound. With targetChecks the digests of blobs are not computed here: the registry to which they
// are copied takes none whose bytes are not of its digest.
func (s *Source) Reading(read func(int64), stall time.Duration, targetChecks bool) *Reading {
	return &Reading{Source: s, read: read, stall: stall, targetChecks: targetChecks}
}

// Failed is why the first blob that is not of its digest could not be read, nil if each was.
func (r *Reading) Failed() error {
	if spoiled := r.spoiled.Load(); spoiled != nil {
		return *spoiled
	}
	return nil
}

// Open reads a part of an artifact. What is read ends with an error that wraps ErrUnreadable where it is not of the part's
// digest and size, and ErrUnavailable where a registry stops sending or less than 64 KiB come in the time stall, 0 for no
// bound.
func (s *Source) Open(ctx context.Context, d ocispec.Descriptor, stall time.Duration) (io.ReadCloser, error) {
	body, err := s.Reading(func(int64) {}, stall, false).Fetch(ctx, d)
	if err != nil || s.Host == "" {
		return body, err
	}
	return &received{body, s.Name}, nil
}

// received is a part as a registry sends it.
type received struct {
	io.ReadCloser
	name string
}

// Read says of a line that broke that trying again can help.
func (r *received) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, failure.ErrUnreadable) && !errors.Is(err, failure.ErrUnavailable) {
		err = fmt.Errorf("reading %s: %w: %w", r.name, failure.ErrUnavailable, err)
	}
	return n, err
}

// Exists reports whether a part is there.
func (r *Reading) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	return r.Storage.Exists(ctx, d)
}

// Fetch opens a part. Its bytes are checked as they are read.
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

// Spoiled is the error of a blob whose bytes are not what its source says they are.
func (s *Source) Spoiled(d digest.Digest, why string) error {
	return fmt.Errorf("%w: the bytes of blob %s in %s %s: make the source anew", failure.ErrUnreadable, d, s.Name, why)
}

// checked is a blob that ends with an error if it is not of its digest and size. Its last bytes are held
// back then, so that no registry can take it for whole.
//
// content.VerifyReader gives the last bytes away before it looks, and calls a short file what it calls a
// line that broke.
type checked struct {
	io.ReadCloser
	verifier digest.Verifier // nil if somebody else looks at the digest
	size     int64
	left     int64
	failed   func(why string) error
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.verifier != nil {
		_, _ = c.verifier.Write(p[:n]) // a hash takes everything
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
