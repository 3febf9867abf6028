package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
)

const (
	// maxParts bounds the manifests and blobs of one artifact. An index for every platform there is has
	// hundreds.
	maxParts = 10_000
	// maxSourceBytes bounds the manifests of one artifact, which are all in memory until it has been copied. Those of an
	// index for every platform there is have less than 1 MiB.
	maxSourceBytes = 8 << 20
)

// Source is an artifact that can be copied into a repository, of which every manifest has been read.
// It is safe for concurrent use.
type Source struct {
	// Root is what a tag of it will point at.
	Root Manifest
	// Size is the bytes of all its manifests and blobs, each counted once.
	Size int64

	name       string
	storage    content.ReadOnlyStorage
	manifests  map[digest.Digest]Manifest
	host       string // of the registry that it is in, or ""
	repository string
	alone      bool // its subject does not belong to it
}

// Source finds an artifact at a tag or digest, to copy it elsewhere. It reads the manifests and no
// blob. Errors wrap ErrNotFound when it is not there, ErrUnreadable when it is not one that Copy can copy.
func (c *Client) Source(ctx context.Context, repository, reference string) (*Source, error) {
	root, err := c.fetch(ctx, repository, reference)
	var b *bulk
	if err == nil {
		b, err = c.bulk(repository)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.name(repository, reference), err)
	}
	s := &Source{name: c.name(repository, reference), storage: b, host: c.location.Host, repository: repository}
	s.manifests = map[digest.Digest]Manifest{root.Descriptor.Digest: root}
	return s, s.find(ctx, root.Descriptor, false)
}

// Blob is a part of an artifact that is made here.
type Blob struct {
	MediaType string
	Data      []byte
}

// Pack makes an artifact of a config and layers, in their order. The same parts give the same digest.
func Pack(ctx context.Context, name string, config Blob, layers []Blob, annotations map[string]string) (*Source, error) {
	parts := memory.New()
	add := func(b Blob) (ocispec.Descriptor, error) {
		d := content.NewDescriptorFromBytes(b.MediaType, b.Data)
		return d, parts.Push(ctx, d, bytes.NewReader(b.Data))
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Annotations: annotations}
	var err error
	if m.Config, err = add(config); err != nil {
		return nil, fmt.Errorf("packing %s: %w", name, err)
	}
	for _, b := range layers {
		d, err := add(b)
		if err != nil {
			return nil, fmt.Errorf("packing %s: %w", name, err)
		}
		m.Layers = append(m.Layers, d)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", name, err)
	}
	root, err := add(Blob{m.MediaType, data})
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", name, err)
	}
	s := &Source{name: name, storage: parts}
	return s, s.find(ctx, root, true)
}

// find reads all manifests from root on. With look it looks that the blobs are there, too.
func (s *Source) find(ctx context.Context, root ocispec.Descriptor, look bool) error {
	if s.manifests == nil {
		s.manifests = map[digest.Digest]Manifest{}
	}
	known, held := map[digest.Digest]bool{root.Digest: true}, 0
	for queue := []ocispec.Descriptor{root}; len(queue) > 0; queue = queue[1:] {
		next, err := s.visit(ctx, queue[0], look)
		if err != nil {
			return fmt.Errorf("reading %.100q of %s: %w", queue[0].Digest, s.name, err)
		}
		for _, d := range next {
			if !known[d.Digest] {
				known[d.Digest] = true
				queue = append(queue, d)
			}
		}
		held += len(s.manifests[queue[0].Digest].Bytes)
		switch {
		case len(known) > maxParts:
			return fmt.Errorf("reading %s: %w: it has more than %d parts", s.name, ErrUnreadable, maxParts)
		case held > maxSourceBytes:
			return fmt.Errorf("reading %s: %w: its manifests have more than %d bytes", s.name, ErrUnreadable, maxSourceBytes)
		}
	}
	s.Root = s.manifests[root.Digest]
	return nil
}

// visit reads one part, and returns what it names.
func (s *Source) visit(ctx context.Context, d ocispec.Descriptor, look bool) ([]ocispec.Descriptor, error) {
	switch {
	case d.Digest.Validate() != nil:
		return nil, fmt.Errorf("%w: it is not a digest", ErrUnreadable)
	case elsewhere(d):
		return nil, nil
	case d.Size < 0, s.Size+d.Size < s.Size:
		return nil, fmt.Errorf("%w: its size is said to be %d", ErrUnreadable, d.Size)
	}
	s.Size += d.Size
	if look {
		there, err := s.storage.Exists(ctx, d)
		if err == nil && !there {
			err = fmt.Errorf("%w: it is named and is not there", ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
	}
	if !isManifest(d.MediaType) {
		return nil, nil
	}
	m, err := s.manifest(ctx, d)
	if err != nil {
		return nil, err
	}
	s.manifests[d.Digest] = m
	next := append(append([]ocispec.Descriptor(nil), m.Children...), m.Blobs...)
	if m.Subject != nil && !s.alone {
		next = append(next, *m.Subject)
	}
	return next, nil
}

// manifest reads one manifest, and checks its size and digest.
func (s *Source) manifest(ctx context.Context, d ocispec.Descriptor) (Manifest, error) {
	if m, ok := s.manifests[d.Digest]; ok {
		return m, nil
	}
	if d.Size > MaxManifestBytes {
		return Manifest{}, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrUnreadable, d.Size, MaxManifestBytes)
	}
	data, err := content.FetchAll(ctx, s.storage, d)
	if failed := (*failure)(nil); err != nil && !errors.As(err, &failed) {
		err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if err != nil {
		return Manifest{}, err
	}
	m, err := ParseManifest(d.MediaType, data)
	m.Descriptor.Digest = d.Digest // which may be of another algorithm
	return m, err
}

// BlobDigests yields the digests of the blobs of all manifests.
func (s *Source) BlobDigests() iter.Seq[digest.Digest] {
	return func(yield func(digest.Digest) bool) {
		for _, m := range s.manifests {
			for _, b := range m.Blobs {
				if !yield(b.Digest) {
					return
				}
			}
		}
	}
}

// Parts are the descriptors of all blobs and of all manifests of an artifact, each once and in a fixed order.
func (s *Source) Parts() (blobs, manifests []ocispec.Descriptor) {
	known := map[digest.Digest]bool{}
	for _, d := range slices.Sorted(maps.Keys(s.manifests)) {
		m := s.manifests[d]
		manifests = append(manifests, ocispec.Descriptor{MediaType: m.Descriptor.MediaType, Digest: d, Size: m.Descriptor.Size})
		for _, b := range m.Blobs {
			if !known[b.Digest] && !elsewhere(b) {
				known[b.Digest] = true
				blobs = append(blobs, ocispec.Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size})
			}
		}
	}
	return blobs, manifests
}

// Open reads a part of an artifact. What is read ends with an error that wraps ErrUnreadable where it is not of the part's
// digest and size, and ErrUnavailable where a registry stops sending.
func (s *Source) Open(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	body, err := (&reading{Source: s, read: func(int64) {}}).Fetch(ctx, d)
	if err != nil || s.host == "" {
		return body, err
	}
	return &received{body, s.name}, nil
}

// received is a part as a registry sends it.
type received struct {
	io.ReadCloser
	name string
}

// Read says of a line that broke that trying again can help.
func (r *received) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, ErrUnreadable) && !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("reading %s: %w: %w", r.name, ErrUnavailable, err)
	}
	return n, err
}

// reading is a Source that tells how many bytes have been read from it, and whether they are what their
// digests say. It serves one copy.
type reading struct {
	*Source
	read  func(int64)
	stall time.Duration // see CopyOptions
	// spoiled is the first blob that is not. The copy's own error may not show it: the transport, or the
	// registry that was sent less than announced, speaks first.
	spoiled atomic.Pointer[error]
}

func (r *reading) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	return r.storage.Exists(ctx, d)
}

func (r *reading) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	body := io.NopCloser(bytes.NewReader(r.manifests[d.Digest].Bytes))
	if _, ok := r.manifests[d.Digest]; !ok {
		spoiled := func(err error) error {
			r.spoiled.CompareAndSwap(nil, &err)
			return err
		}
		ctx, end := context.WithCancel(ctx)
		found, err := r.storage.Fetch(ctx, d)
		if err != nil {
			end()
			return nil, err
		}
		paced := newPaced(&requestBody{body: found}, r.stall, end, func() error {
			return spoiled(fmt.Errorf("%w: reading blob %s of %s: %w", ErrUnavailable, d.Digest, r.name, errStalled))
		})
		body = &checked{ReadCloser: paced, verifier: d.Digest.Verifier(), size: d.Size, left: d.Size, failed: func(why string) error {
			return spoiled(fmt.Errorf("%w: the bytes of blob %s in %s %s: make the source anew", ErrUnreadable, d.Digest, r.name, why))
		}}
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(body, counter(r.read)), body}, nil
}

// checked is a blob that ends with an error if it is not of its digest and size. Its last bytes are held
// back then, so that no registry can take it for whole.
//
// content.VerifyReader gives the last bytes away before it looks, and calls a short file what it calls a
// line that broke.
type checked struct {
	io.ReadCloser
	verifier digest.Verifier
	size     int64
	left     int64
	failed   func(why string) error
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	_, _ = c.verifier.Write(p[:n]) // a hash takes everything
	c.left -= int64(n)
	switch {
	case c.left < 0:
		return 0, c.failed(fmt.Sprintf("are more than the %d that it is said to have", c.size))
	case c.left == 0 && !c.verifier.Verified():
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

func isManifest(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, MediaTypeDockerManifest, MediaTypeDockerManifestList, MediaTypeArtifactManifest:
		return true
	}
	return false
}

// elsewhere: layers that may not be distributed lie where their descriptor says, in no registry, and
// are not copied. OCI image-spec, "Non-Distributable Layers".
func elsewhere(d ocispec.Descriptor) bool {
	return strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.nondistributable.") ||
		d.MediaType == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
}
