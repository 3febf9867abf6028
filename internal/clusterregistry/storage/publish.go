package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// PutContent publishes a link, and then checks everything below it. A push is acknowledged only after that check (R2).
func (d *Driver) PutContent(ctx context.Context, file string, content []byte) error {
	err := d.put(ctx, file, content)
	noteFull(ctx, err)
	return err
}

func (d *Driver) put(ctx context.Context, file string, content []byte) error {
	p := layout.Parse(file)
	switch p.Kind {
	case layout.Layer, layout.Revision, layout.Tag:
		if err := digest.Digest(content).Validate(); err != nil {
			return fmt.Errorf("publishing %s: %w", file, err)
		}
		if err := d.publish(file, content); err != nil || d.blind {
			return err
		}
		return refusal(p, d.below(ctx, p, digest.Digest(content)))
	case layout.Blob:
		return d.volume.Write(file, content, false)
	}
	// The files of an upload and the history of a tag are not needed after a power cut.
	return d.volume.Write(file, content, true)
}

// publish writes a link. It only makes an existing link with the same
// content young, so that readers on other hosts see no new file.
func (d *Driver) publish(file string, content []byte) error {
	if there, err := d.volume.ReadFile(file, maxLink); err == nil && string(there) == string(content) {
		if err := d.volume.Touch(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.volume.Write(file, content, false)
}

// below checks what a link needs.
func (d *Driver) below(ctx context.Context, p layout.Path, target digest.Digest) error {
	switch p.Kind {
	case layout.Layer:
		_, err := d.blob(target)
		return err
	case layout.Tag:
		if _, err := d.volume.Find(layout.RevisionPath(p.Repository, target)); err != nil {
			return err
		}
		return d.whole(ctx, p.Repository, target)
	}
	if err := d.refer(ctx, p.Repository, target); err != nil {
		return err
	}
	return d.whole(ctx, p.Repository, target)
}

// refer adds a manifest to the referrers of its subject, if it has one.
func (d *Driver) refer(ctx context.Context, repository string, of digest.Digest) error {
	m, err := d.manifest(ctx, of)
	if err != nil || m.Subject == "" {
		return err
	}
	return d.publish(layout.ReferrerPath(repository, m.Subject, of), []byte(of))
}

// refusal translates the error of a check into the answer to the push.
func refusal(p layout.Path, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooManyParts), errors.Is(err, errTooMuch), errors.Is(err, errSize), errors.Is(err, layout.ErrNotUnderstood):
		return errcode.ErrorCodeManifestInvalid.WithMessage(err.Error())
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case p.Kind == layout.Layer:
		return errcode.ErrorCodeBlobUnknown.WithMessage(fmt.Sprintf("the blob %s went while it was pushed: push it again", p.Digest))
	}
	return errcode.ErrorCodeManifestBlobUnknown.WithMessage("something that the manifest needs is not in this repository: push it again, with all that belongs to it")
}

// Move commits an upload: it moves the data to the path of the blob.
func (d *Driver) Move(_ context.Context, from, to string) error {
	return d.error(from, d.volume.Move(from, to))
}
