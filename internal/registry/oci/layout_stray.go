package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// Strays returns the entries that have no name, are not attached to another
// entry, and are not copied with an entry that has a name or is attached.
func (l *Layout) Strays(ctx context.Context) ([]ocispec.Descriptor, error) {
	var named, attached, rest []ocispec.Descriptor
	for _, image := range l.Images {
		satellite, err := l.IsSatellite(ctx, image)
		switch {
		case err != nil:
			return nil, err
		case satellite:
			attached = append(attached, image)
		case ImageName(image) != "":
			named = append(named, image)
		default:
			rest = append(rest, image)
		}
	}
	copied := map[digest.Digest]bool{}
	// An image is copied with its subject, a satellite without its subject.
	if err := errors.Join(l.addParts(ctx, copied, named, true), l.addParts(ctx, copied, attached, false)); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rest, func(d ocispec.Descriptor) bool { return copied[d.Digest] }), nil
}

// addParts adds manifests to copied, and the manifests that are copied with them.
func (l *Layout) addParts(ctx context.Context, copied map[digest.Digest]bool, queue []ocispec.Descriptor, subjects bool) error {
	for ; len(queue) > 0; queue = queue[1:] {
		d := queue[0]
		if copied[d.Digest] {
			continue
		}
		copied[d.Digest] = true
		m, err := l.manifest(ctx, d)
		if err != nil && !errors.Is(err, failure.ErrNotFound) { // reading that manifest reports that it is missing
			return err
		}
		queue = append(queue, m.Children...)
		if subjects && m.Subject != nil {
			queue = append(queue, *m.Subject)
		}
	}
	return nil
}

// manifest reads a manifest of the layout. For an entry of another media type it
// returns an empty manifest. Errors wrap ErrNotFound if the manifest is missing.
func (l *Layout) manifest(ctx context.Context, d ocispec.Descriptor) (m Manifest, err error) {
	if !IsManifest(d.MediaType) {
		return m, nil
	}
	if d.Digest.Validate() != nil {
		return m, fmt.Errorf("reading %.100q of %s: %w: it is not a digest", d.Digest, l.path, failure.ErrUnreadable)
	}
	d = ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	there, err := l.storage.Exists(ctx, d)
	switch {
	case err == nil && there:
		m, err = (&Source{Place: Place{Name: l.path, Storage: l.storage}}).manifest(ctx, d)
	case err == nil:
		err = fmt.Errorf("%w: it is named and is not there", failure.ErrNotFound)
	}
	if err != nil {
		return m, fmt.Errorf("reading %s of %s: %w", d.Digest, l.path, err)
	}
	return m, nil
}
