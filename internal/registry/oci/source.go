package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"

	"github.com/nfo-operator/nfo/internal/registry/failure"
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

	Place
	manifests map[digest.Digest]Manifest
}

// Place is where the parts of an artifact are.
type Place struct {
	// Name is what errors call it.
	Name    string
	Storage content.ReadOnlyStorage
	// Host is the registry that it is in, and repository the repository; "" for none.
	Host, Repository string
	// Alone says that the subject of the artifact does not belong to it.
	Alone bool
}

// SourceOf reads an artifact whose root has been read.
func SourceOf(ctx context.Context, p Place, root Manifest) (*Source, error) {
	s := &Source{Place: p, manifests: map[digest.Digest]Manifest{root.Descriptor.Digest: root}}
	return s, s.find(ctx, root.Descriptor, false)
}

// SourceAt reads an artifact, and checks that each of its blobs is there.
func SourceAt(ctx context.Context, p Place, root ocispec.Descriptor) (*Source, error) {
	s := &Source{Place: p}
	return s, s.find(ctx, ocispec.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}, true)
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
	s := &Source{Place: Place{Name: name, Storage: parts}}
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
			return fmt.Errorf("reading %.100q of %s: %w", queue[0].Digest, s.Name, err)
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
			return fmt.Errorf("reading %s: %w: it has more than %d parts", s.Name, failure.ErrUnreadable, maxParts)
		case held > maxSourceBytes:
			return fmt.Errorf("reading %s: %w: its manifests have more than %d bytes", s.Name, failure.ErrUnreadable, maxSourceBytes)
		}
	}
	s.Root = s.manifests[root.Digest]
	return nil
}

// visit reads one part, and returns what it names.
func (s *Source) visit(ctx context.Context, d ocispec.Descriptor, look bool) ([]ocispec.Descriptor, error) {
	switch {
	case d.Digest.Validate() != nil:
		return nil, fmt.Errorf("%w: it is not a digest", failure.ErrUnreadable)
	case elsewhere(d):
		return nil, nil
	case d.Size < 0, s.Size+d.Size < s.Size:
		return nil, fmt.Errorf("%w: its size is said to be %d", failure.ErrUnreadable, d.Size)
	}
	s.Size += d.Size
	if look {
		there, err := s.Storage.Exists(ctx, d)
		if err == nil && !there {
			err = fmt.Errorf("%w: it is named and is not there", failure.ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
	}
	if !IsManifest(d.MediaType) {
		return nil, nil
	}
	m, err := s.manifest(ctx, d)
	if err != nil {
		return nil, err
	}
	s.manifests[d.Digest] = m
	next := append(append([]ocispec.Descriptor(nil), m.Children...), m.Blobs...)
	if m.Subject != nil && !s.Alone {
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
		return Manifest{}, fmt.Errorf("%w: it has %d bytes, at most %d are read", failure.ErrUnreadable, d.Size, MaxManifestBytes)
	}
	data, err := content.FetchAll(ctx, s.Storage, d)
	if failed := (*failure.Error)(nil); err != nil && !errors.As(err, &failed) {
		err = fmt.Errorf("%w: %w", failure.ErrUnreadable, err)
	}
	if err != nil {
		return Manifest{}, err
	}
	m, err := ParseManifest(d.MediaType, data)
	m.Descriptor.Digest = d.Digest // which may be of another algorithm
	return m, err
}

// PartsOf are what one of its manifests refers to, without its subject; none of a blob.
func (s *Source) PartsOf(d digest.Digest) []ocispec.Descriptor {
	m := s.manifests[d]
	return slices.Concat(m.Children, m.Blobs)
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

// IsManifest reports whether a media type is one of a manifest.
func IsManifest(mediaType string) bool {
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
