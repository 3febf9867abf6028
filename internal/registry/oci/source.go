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

	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

const (
	// maxParts bounds the manifests and blobs of one artifact. An index for every existing platform has hundreds.
	maxParts = 10_000
	// maxSourceBytes bounds the manifests of one artifact, in bytes. They are all in memory until the
	// artifact has been copied. Those of an index for every existing platform have less than 1 MiB.
	maxSourceBytes = 8 << 20
)

// Source is an artifact that can be copied into a repository. All
// of its manifests have been read. It is safe for concurrent use.
type Source struct {
	// Root is the manifest that a tag of the artifact refers to.
	Root Manifest
	// Size is the size of all manifests and blobs in bytes, each counted once.
	Size int64

	Place
	manifests map[digest.Digest]Manifest
	// absent has the children of indexes that Selection leaves out.
	absent map[digest.Digest]bool
}

// Place is the place where the parts of an artifact are stored.
type Place struct {
	// Name is the name of the artifact in errors.
	Name    string
	Storage content.ReadOnlyStorage
	// Host is the host of the registry, and Repository the repository; "" outside of registries.
	Host, Repository string
	// Alone says that the subject of the artifact is not one of its parts.
	Alone bool
	// Selection says which children of indexes belong to the artifact.
	Selection Selection
}

// Selection says which children of indexes are read. The zero
// value selects all children, and each of them must exist.
type Selection struct {
	// Platforms leaves out children of other platforms; see platform.List.Choose.
	Platforms platform.List
	// Sparse leaves out children that do not exist, as in an index of which the
	// mirror has only some platforms. At least one child of each index must exist.
	Sparse bool
	// Of, when not nil, leaves out the children that this copy of the same artifact leaves out.
	Of *Source
}

// SourceOf reads an artifact whose root has been read. Errors wrap
// platform.ErrNone if it is an index without any of the platforms that p selects.
func SourceOf(ctx context.Context, p Place, root Manifest) (*Source, error) {
	s := &Source{Place: p, manifests: map[digest.Digest]Manifest{root.Descriptor.Digest: root}}
	return s, s.find(ctx, root.Descriptor, false)
}

// SourceAt reads an artifact, and checks that each of its blobs exists.
func SourceAt(ctx context.Context, p Place, root ocispec.Descriptor) (*Source, error) {
	s := &Source{Place: p}
	return s, s.find(ctx, ocispec.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}, true)
}

// Blob is a part of an artifact that Pack makes.
type Blob struct {
	MediaType string
	Data      []byte
}

// Pack makes an artifact from a config and layers, in their order. The same parts result in the same digest.
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
	m.Descriptor.Digest = d.Digest // not always the SHA-256 digest that ParseManifest computes
	return m, err
}

// PartsOf returns the parts that a manifest of the artifact
// references and that belong to the artifact; none for a blob.
func (s *Source) PartsOf(d digest.Digest) []ocispec.Descriptor {
	m := s.manifests[d]
	parts := slices.DeleteFunc(slices.Clone(m.Children), func(c ocispec.Descriptor) bool { return s.absent[c.Digest] })
	parts = append(parts, m.Blobs...)
	if m.Subject != nil && !s.Alone {
		parts = append(parts, *m.Subject)
	}
	return parts
}

// Absent returns the children of indexes that do not belong to the artifact, sorted.
func (s *Source) Absent() []digest.Digest { return slices.Sorted(maps.Keys(s.absent)) }

// Parts returns the descriptors of all blobs and of all manifests
// of an artifact, without duplicates and in a fixed order.
func (s *Source) Parts() (blobs, manifests []ocispec.Descriptor) {
	known := map[digest.Digest]bool{}
	for _, d := range slices.Sorted(maps.Keys(s.manifests)) {
		m := s.manifests[d]
		manifests = append(manifests, ocispec.Descriptor{MediaType: m.Descriptor.MediaType, Digest: d, Size: m.Descriptor.Size})
		for _, b := range m.Blobs {
			if !known[b.Digest] && !Elsewhere(b) {
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

// IsManifest reports whether a media type is that of a manifest.
func IsManifest(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, MediaTypeDockerManifest, MediaTypeDockerManifestList, MediaTypeArtifactManifest:
		return true
	}
	return false
}

// Elsewhere reports whether a blob is stored where its descriptor says, not in registries, so it
// is not copied: a layer that may not be distributed. OCI image-spec, "Non-Distributable Layers".
func Elsewhere(d ocispec.Descriptor) bool {
	return strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.nondistributable.") ||
		d.MediaType == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
}
