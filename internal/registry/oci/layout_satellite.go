package oci

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/graph"
)

// cosignKind is the annotation by which `cosign save` says what an entry of a layout is.
const cosignKind = "kind"

// cosignKinds are what its tag ends with, by that annotation.
var cosignKinds = map[string]string{
	"dev.cosignproject.cosign/sigs": ".sig", "dev.cosignproject.cosign/atts": ".att", "dev.cosignproject.cosign/sboms": ".sbom",
}

// Satellites finds what is attached to an artifact of the layout, as Client.Satellites does in a repository: entries
// of index.json that name their subject, that have a tag of cosign's as their name, or that `cosign save` has
// written beside the artifact.
func (l *Layout) Satellites(ctx context.Context, of *Source) ([]Satellite, error) {
	in := &attachedBeside{l, of.Root.Descriptor.Digest, map[digest.Digest][]ocispec.Descriptor{}}
	var all []Satellite
	err := in.read(ctx)
	if err == nil {
		all, err = Satellites(ctx, in, of)
	}
	if err != nil {
		return nil, fmt.Errorf("finding signatures in %s: %w", l.path, err)
	}
	return all, nil
}

// IsSatellite reports whether an entry of index.json is attached to another one, and not an image of its own.
func (l *Layout) IsSatellite(ctx context.Context, image ocispec.Descriptor) (bool, error) {
	name := ImageName(image)
	_, named := graph.SatelliteOf(name[strings.LastIndex(name, ":")+1:])
	if named || cosignKinds[image.Annotations[cosignKind]] != "" {
		return true, nil
	}
	subject, err := l.subject(ctx, image)
	return subject != nil, err
}

// subject is what a manifest names as its subject, nil for none.
func (l *Layout) subject(ctx context.Context, image ocispec.Descriptor) (*ocispec.Descriptor, error) {
	if !IsManifest(image.MediaType) || image.Digest.Validate() != nil {
		return nil, nil
	}
	d := ocispec.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size}
	if there, err := l.storage.Exists(ctx, d); err != nil || !there {
		return nil, nil // who asks for it learns why it cannot be read
	}
	s := &Source{Place: Place{Name: l.path, Storage: l.storage}}
	m, err := s.manifest(ctx, d)
	return m.Subject, err
}

// attachedBeside finds satellites in a layout, of which root is the artifact.
type attachedBeside struct {
	*Layout
	root  digest.Digest
	named map[digest.Digest][]ocispec.Descriptor // the entries by the subject that they name
}

// read goes from the entries to their subjects, which are no entries themselves where a signature of a signature is.
func (a *attachedBeside) read(ctx context.Context) error {
	known := map[digest.Digest]bool{}
	for queue := slices.Clone(a.Images); len(queue) > 0; queue = queue[1:] {
		d := queue[0]
		if known[d.Digest] {
			continue
		}
		known[d.Digest] = true
		subject, err := a.subject(ctx, d)
		if err != nil {
			return err
		}
		if subject != nil {
			a.named[subject.Digest] = append(a.named[subject.Digest], d)
			queue = append(queue, *subject)
		}
	}
	return nil
}

func (a *attachedBeside) At(_ context.Context, subject digest.Digest, tag string) (ocispec.Descriptor, bool, error) {
	for _, image := range a.Images {
		name := ImageName(image)
		kind := cosignKinds[image.Annotations[cosignKind]]
		if name == tag || strings.HasSuffix(name, ":"+tag) || kind != "" && subject == a.root && strings.HasSuffix(tag, kind) {
			return image, true, nil
		}
	}
	return ocispec.Descriptor{}, false, nil
}

func (a *attachedBeside) About(_ context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return United(a.named[subject.Digest], nil), nil
}

func (a *attachedBeside) Load(ctx context.Context, d ocispec.Descriptor) (*Source, error) {
	s := &Source{Place: Place{Name: a.path, Storage: a.storage, Alone: true}}
	return s, s.find(ctx, ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, true)
}
