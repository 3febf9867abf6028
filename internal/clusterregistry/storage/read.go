package storage

import (
	"context"
	"errors"
	"io/fs"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// maxLink is the maximum length of a link, in bytes: "sha512:" and 128 hexadecimal digits.
const maxLink = 135

// Stat reports a blob as missing if it is corrupt, as far as this is known or quickly found out.
func (d *Driver) Stat(ctx context.Context, file string) (storagedriver.FileInfo, error) {
	var info fs.FileInfo
	var err error
	if p := layout.Parse(file); p.Kind == layout.Blob {
		info, err = d.sound(p.Digest, committing(ctx))
	} else {
		info, err = d.volume.Stat(file)
	}
	if err != nil {
		return nil, d.error(file, err)
	}
	return storagedriver.FileInfoInternal{FileInfoFields: storagedriver.FileInfoFields{
		Path: file, Size: info.Size(), ModTime: info.ModTime(), IsDir: info.IsDir(),
	}}, nil
}

// GetContent reads a link, the content of a manifest, or a file of an upload.
func (d *Driver) GetContent(ctx context.Context, file string) ([]byte, error) {
	p := layout.Parse(file)
	var content []byte
	var err error
	switch p.Kind {
	case layout.Layer:
		content, err = d.layer(p)
	case layout.Revision:
		content, err = d.revision(ctx, p)
	case layout.Tag:
		content, err = d.tag(p)
	case layout.Blob:
		content, err = d.small(ctx, p.Digest)
	default:
		content, err = d.StorageDriver.GetContent(ctx, file)
	}
	return content, d.error(file, err)
}

// layer reads a layer link, and makes it young: the client may skip the upload because of the answer.
func (d *Driver) layer(p layout.Path) ([]byte, error) {
	file := layout.LayerPath(p.Repository, p.Digest)
	info, err := d.volume.Find(file)
	if err != nil {
		return nil, err
	}
	content, err := d.link(file, p.Digest, info.Size())
	if err != nil {
		return nil, err
	}
	if err := d.hold(file); !volume.Unwritable(err) {
		return content, err
	}
	// Pulls continue on a volume that cannot be written. A push that relies
	// on the blob checks it, and fails if a collection has deleted it.
	return content, nil
}

// hold makes a link young, unless this process did so less than a quarter of the grace
// period ago. It measures this with the process's monotonic clock, because a host's clock
// can be wrong. A link that a collection hides meanwhile is restored, which makes it young.
func (d *Driver) hold(file string) error {
	if last, ok := d.held.Get(file); ok && time.Since(last) < d.grace/4 {
		return nil
	}
	began := time.Now()
	err := d.volume.Touch(file)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = d.volume.Find(file)
	}
	if err == nil {
		d.held.Add(file, began)
	}
	return err
}

// revision reads a revision link, which is absent unless everything below it is present.
func (d *Driver) revision(ctx context.Context, p layout.Path) ([]byte, error) {
	file := layout.RevisionPath(p.Repository, p.Digest)
	info, err := d.volume.Find(file)
	if err != nil {
		return nil, err
	}
	content, err := d.link(file, p.Digest, info.Size())
	if err != nil {
		return nil, err
	}
	return content, d.whole(ctx, p.Repository, p.Digest)
}

// link returns the content of a link. For SHA-256 the path determines the content, and a link of another size is
// rewritten. For other algorithms the link contains the digest under which the content is stored.
func (d *Driver) link(file string, of digest.Digest, size int64) ([]byte, error) {
	if of.Algorithm() != digest.SHA256 {
		return d.volume.ReadFile(file, maxLink)
	}
	content := []byte(of)
	if size == int64(len(content)) {
		return content, nil
	}
	d.log.Warn("wrote a link again that was not whole", "path", file)
	return content, d.volume.Write(file, content, false)
}

// tag reads a tag. A tag that was not written completely is
// restored from its history, if the history has only one digest.
func (d *Driver) tag(p layout.Path) ([]byte, error) {
	file := layout.TagPath(p.Repository, p.Name)
	if _, err := d.volume.Find(file); err != nil {
		return nil, err
	}
	content, err := d.volume.ReadFile(file, maxLink)
	if err != nil || digest.Digest(content).Validate() == nil {
		return content, err
	}
	had, err := d.volume.List(layout.TagHistoryOf(p.Repository, p.Name) + "/sha256")
	if err != nil {
		return nil, err
	}
	if len(had) != 1 {
		return nil, absent("the tag %s of %s names no digest, and had %d before", p.Name, p.Repository, len(had))
	}
	content = []byte(digest.NewDigestFromEncoded(digest.SHA256, had[0].Name()))
	d.log.Warn("wrote a tag again that was not whole", "path", file, "digest", string(content))
	return content, d.volume.Write(file, content, false)
}
