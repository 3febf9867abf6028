package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// errSize means that a manifest states another size than the content has, although the content matches its digest.
var errSize = errors.New("a size in the manifest is not that of the content")

// presenceCheck is one check of everything below a revision.
type presenceCheck struct {
	d          *Driver
	ctx        context.Context
	repository string
	limit      *Limit
	seen       map[digest.Digest]bool
	// partial is set if children of platforms that were not chosen may be missing.
	partial bool
	// required has the children that must be present. optional has the children that may be missing; they are checked last.
	required, optional []layout.Descriptor
	// layers is the folder of the repository's layer links, blobs the folder of all blobs.
	layers, blobs volume.Folder
}

// whole returns nil if everything below a revision is present with the sizes that its manifests state. It restores what
// a collection has hidden. It wraps fs.ErrNotExist if a file is missing or cannot be used, and for no other reason. In
// the mirror, children of platforms that were not chosen may be missing; those that are present are restored like the
// others. The check ends with an error when ctx ends or the limit of the request is exceeded.
func (d *Driver) whole(ctx context.Context, repository string, revision digest.Digest) error {
	l := presenceCheck{
		d: d, ctx: ctx, repository: repository, limit: limitOf(ctx), seen: map[digest.Digest]bool{}, partial: d.partial(repository),
		layers: d.volume.Folder(layout.LayersOf(repository)), blobs: d.volume.Folder(layout.Blobs),
	}
	defer l.layers.Close()
	defer l.blobs.Close()
	err := l.manifest(revision, -1)
	if err == nil {
		err = l.checkRequired()
	}
	if err == nil {
		err = l.checkOptional()
	}
	return err
}

// checkRequired checks all manifests that must be present.
func (l *presenceCheck) checkRequired() error {
	for len(l.required) > 0 {
		child := l.required[len(l.required)-1]
		l.required = l.required[:len(l.required)-1]
		if err := l.child(child); err != nil {
			return err
		}
	}
	return nil
}

// child checks a child of an index.
func (l *presenceCheck) child(child layout.Descriptor) error {
	if err := l.ctx.Err(); err != nil {
		return fmt.Errorf("looking at a child of an index, %s: %w", child.Digest, err)
	}
	if _, err := l.d.volume.Find(layout.RevisionPath(l.repository, child.Digest)); err != nil {
		return err
	}
	return l.manifest(child.Digest, child.Size)
}

// checkOptional checks the children that may be missing. It runs last, so that a
// file that a required child shares with them is already known to be present.
func (l *presenceCheck) checkOptional() error {
	for len(l.optional) > 0 {
		child := l.optional[len(l.optional)-1]
		l.optional = l.optional[:len(l.optional)-1]
		if !l.first(child.Digest) {
			continue
		}
		if err := l.limit.spend(1, 0); err != nil {
			return err
		}
		err := l.child(child)
		if err == nil {
			err = l.checkRequired()
		}
		if errors.Is(err, fs.ErrNotExist) {
			l.required, err = nil, nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// manifest checks a manifest and what it references. size is the size that its index states, or negative for any.
func (l *presenceCheck) manifest(revision digest.Digest, size int64) error {
	m, err := l.d.manifest(l.ctx, revision)
	if err != nil {
		return err
	}
	if size >= 0 && m.size != size {
		return fmt.Errorf("%w: %s", errSize, revision)
	}
	if err := l.limit.spend(1, m.size); err != nil {
		return err
	}
	for _, part := range m.Contents {
		if err := l.content(part); err != nil {
			return err
		}
	}
	for i, child := range m.Manifests {
		switch {
		case l.partial && i >= m.chosen:
			l.optional = append(l.optional, child)
		case l.first(child.Digest):
			l.required = append(l.required, child)
		}
	}
	if len(l.seen)+len(l.optional) > maxParts {
		return l.limit.refuse(errTooManyParts)
	}
	return nil
}

func (l *presenceCheck) first(d digest.Digest) bool {
	if l.seen[d] {
		return false
	}
	l.seen[d] = true
	return true
}

// content checks a blob by following the repository's layer link.
func (l *presenceCheck) content(part layout.Descriptor) error {
	if !l.first(part.Digest) {
		return nil
	}
	if err := l.limit.spend(1, 0); err != nil {
		return err
	}
	size, err := l.layers.Size(layout.LayerFile(part.Digest))
	if err != nil {
		return err
	}
	content, err := l.d.link(layout.LayerPath(l.repository, part.Digest), part.Digest, size)
	if err != nil {
		return err
	}
	target := digest.Digest(content)
	if target != part.Digest && target.Validate() != nil {
		return absent("the link of %s names no digest", part.Digest)
	}
	if size, err = l.blobs.Size(layout.BlobFile(target)); err != nil {
		return err
	}
	return l.d.sized(target, size, part.Size)
}

// sized returns nil if a blob has the size that a manifest states. If not, it verifies the blob once to decide which of
// the two is wrong. A corrupt blob is set aside.
func (d *Driver) sized(of digest.Digest, has, wanted int64) error {
	if has == wanted {
		return nil
	}
	if _, err := d.verify(of); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s has %d bytes, not %d", errSize, of, has, wanted)
}

// blob finds the file of a valid digest. Its content is not verified.
func (d *Driver) blob(of digest.Digest) (fs.FileInfo, error) {
	return d.volume.Find(layout.BlobPath(of))
}
