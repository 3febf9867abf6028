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

// errSize is a manifest that names a size which its content, being what its digest says, does not have.
var errSize = errors.New("a size in the manifest is not that of the content")

// look goes through everything below one revision, once.
type look struct {
	d          *Driver
	ctx        context.Context
	repository string
	limit      *Limit
	seen       map[digest.Digest]bool
	// partial: children of platforms that were not chosen may be missing.
	partial bool
	// next must be looked at, and may if next is empty, at what may be missing.
	next, may []layout.Descriptor
	// layers has the repository's links, blobs the content of all.
	layers, blobs volume.Folder
}

// whole is nil if everything below a revision is there, of the size that its manifests name. What a collection has
// hidden is taken back. It wraps fs.ErrNotExist if a file is missing, and no other error says that one is. In the mirror,
// children of platforms that were not chosen may be missing; those that are there are taken back like the others. A look
// ends with the request that it is for, and where that may not look at more.
func (d *Driver) whole(ctx context.Context, repository string, revision digest.Digest) error {
	l := look{
		d: d, ctx: ctx, repository: repository, limit: limitOf(ctx), seen: map[digest.Digest]bool{}, partial: d.partial(repository),
		layers: d.volume.Folder(layout.LayersOf(repository)), blobs: d.volume.Folder(layout.Blobs),
	}
	defer l.layers.Close()
	defer l.blobs.Close()
	err := l.manifest(revision, -1)
	if err == nil {
		err = l.children()
	}
	if err == nil {
		err = l.others()
	}
	return err
}

// children looks at all manifests that must be there.
func (l *look) children() error {
	for len(l.next) > 0 {
		child := l.next[len(l.next)-1]
		l.next = l.next[:len(l.next)-1]
		if err := l.child(child); err != nil {
			return err
		}
	}
	return nil
}

// child looks at a child of an index.
func (l *look) child(child layout.Descriptor) error {
	if err := l.ctx.Err(); err != nil {
		return fmt.Errorf("looking at a child of an index, %s: %w", child.Digest, err)
	}
	if _, err := l.d.volume.Find(layout.RevisionPath(l.repository, child.Digest)); err != nil {
		return err
	}
	return l.manifest(child.Digest, child.Size)
}

// others looks at the manifests that may be missing, after all that must be there: a file that both need was found then.
func (l *look) others() error {
	for len(l.may) > 0 {
		child := l.may[len(l.may)-1]
		l.may = l.may[:len(l.may)-1]
		if !l.first(child.Digest) {
			continue
		}
		if err := l.limit.spend(1, 0); err != nil {
			return err
		}
		err := l.child(child)
		if err == nil {
			err = l.children()
		}
		if errors.Is(err, fs.ErrNotExist) {
			l.next, err = nil, nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// manifest looks at one manifest of the given size, or of any if that is negative, and what it names.
func (l *look) manifest(revision digest.Digest, size int64) error {
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
			l.may = append(l.may, child)
		case l.first(child.Digest):
			l.next = append(l.next, child)
		}
	}
	if len(l.seen)+len(l.may) > maxParts {
		return l.limit.refuse(errTooManyParts)
	}
	return nil
}

func (l *look) first(d digest.Digest) bool {
	if l.seen[d] {
		return false
	}
	l.seen[d] = true
	return true
}

// content looks at a blob, by the link of the repository.
func (l *look) content(part layout.Descriptor) error {
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

// sized is nil if a blob has the size that it is to have. One of another size is read once, to know who is wrong: one that
// is corrupt is set aside.
func (d *Driver) sized(of digest.Digest, has, wanted int64) error {
	if has == wanted {
		return nil
	}
	if _, err := d.verify(of); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s has %d bytes, not %d", errSize, of, has, wanted)
}

// blob finds the file of a valid digest. Its content may be wrong.
func (d *Driver) blob(of digest.Digest) (fs.FileInfo, error) {
	return d.volume.Find(layout.BlobPath(of))
}
