package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	// keptManifests and keptParts bound the cache of parsed manifests to about 50 MiB. Other manifests are read again.
	keptManifests, keptParts = 2048, 256
)

// parts is what a manifest references, and its own size in bytes.
// It never changes, and does not say whether the parts are present.
type parts struct {
	layout.Manifest
	size int64
	// chosen is the number of Manifests that the mirror must have because of their platform. They come first.
	chosen int
}

// choose sorts the children whose platforms the mirror must have to the front, and returns their number.
func (d *Driver) choose(children []layout.Descriptor, index []byte) (chosen int) {
	if len(d.platforms) == 0 || len(children) == 0 {
		return len(children)
	}
	c := d.platforms.Choose(index)
	for i, child := range children {
		if c.Has(child.Digest) {
			children[chosen], children[i] = child, children[chosen]
			chosen++
		}
	}
	return chosen
}

// partial reports whether the indexes of a repository need only some of their children.
func (d *Driver) partial(repository string) bool {
	return len(d.platforms) > 0 && strings.HasPrefix(repository, d.mirror+"/")
}

// manifest returns what a manifest references, if its content is present and matches its digest.
func (d *Driver) manifest(ctx context.Context, of digest.Digest) (parts, error) {
	if m, ok := d.manifests.Get(of); ok {
		info, err := d.blob(of)
		if err != nil {
			return m, err
		}
		return m, d.sized(of, info.Size(), m.size)
	}
	content, err := d.small(ctx, of)
	if err != nil {
		return parts{}, err
	}
	read, err := layout.ReadManifest(content)
	if err != nil {
		return parts{}, fmt.Errorf("reading the manifest %s: %w", of, err)
	}
	m := parts{Manifest: read, size: int64(len(content)), chosen: d.choose(read.Manifests, content)}
	m.Annotations = nil
	if len(m.Manifests)+len(m.Contents)+len(m.Foreign) <= keptParts {
		d.manifests.Add(of, m)
	}
	return m, nil
}

// small returns the content of a blob of at most the size of a manifest. A corrupt blob is set aside and absent.
func (d *Driver) small(ctx context.Context, of digest.Digest) ([]byte, error) {
	info, err := d.blob(of)
	if err != nil {
		return nil, err
	}
	if err := limitOf(ctx).Room(ctx, info.Size()); err != nil {
		return nil, err
	}
	for range 2 {
		content, err := d.volume.ReadFile(layout.BlobPath(of), layout.MaxManifest)
		if errors.Is(err, volume.ErrTooLarge) {
			return nil, fmt.Errorf("%w: %w", layout.ErrNotUnderstood, err)
		}
		if err != nil || of.Algorithm().FromBytes(content) == of {
			return content, err
		}
		// A second read decides, even if this file was right before.
		d.good.kept.Remove(of)
		if _, err := d.verify(of); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("reading the manifest %s: its content is not what its digest says, and another reading finds it right: check the volume and the memory of the host", of)
}
