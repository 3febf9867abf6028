package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// Untag removes one tag, whatever its digest is at that time: the caller resolves the tag
// immediately before, and gives ctx a deadline of 5 s or less. Not found is success (I11).
// Errors wrap ErrUnsupported if the registry removes no tags; then nothing has changed. If
// it is unknown whether the registry removes the tag alone, use Trial instead (I6).
// Spec: OCI distribution-spec, "Deleting tags".
func (c *Client) Untag(ctx context.Context, repository, tag string) error {
	err := c.checkTag(tag)
	if err == nil {
		err = missing(c.delete(ctx, repository, tag))
	}
	if err != nil {
		return fmt.Errorf("untagging %s: %w", c.wire.Name(repository, tag), err)
	}
	return nil
}

// Delete removes one digest and, in most registries, every tag on it. Errors wrap ErrNotFound
// if the registry reports that the digest does not exist, and nothing was done; ErrUnsupported
// if deletion is disabled; ErrDenied if the registry still needs the digest or has locked it.
// Spec: OCI distribution-spec, "Deleting Manifests".
func (c *Client) Delete(ctx context.Context, repository string, d digest.Digest) error {
	err := d.Validate()
	if err != nil {
		err = fmt.Errorf("%w: %q is not a digest", ErrConfig, d)
	} else {
		err = c.delete(ctx, repository, d.String())
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w", c.wire.Name(repository, d.String()), err)
	}
	return nil
}

func (c *Client) delete(ctx context.Context, repository, reference string) error {
	r, err := c.wire.ManifestRequest(http.MethodDelete, repository, reference, auth.ActionDelete)
	if err != nil {
		return err
	}
	resp, err := c.wire.Send(ctx, r)
	if err != nil {
		return err
	}
	wire.Discard(resp)
	return nil
}

// Put stores a manifest's bytes under a tag or under its digest, and overwrites an existing tag.
// PutTag never overwrites, and MoveTag only the given digest. Put first checks the bytes against the
// digest. Errors wrap ErrNotFound if layers or children that the manifest references are missing.
// Spec: OCI distribution-spec, "Pushing Manifests".
func (c *Client) Put(ctx context.Context, repository, reference string, m Manifest) error {
	if err := c.put(ctx, repository, reference, m); err != nil {
		return fmt.Errorf("putting %s: %w", c.wire.Name(repository, reference), err)
	}
	return nil
}

func (c *Client) put(ctx context.Context, repository, reference string, m Manifest) error {
	d := m.Descriptor.Digest
	if d.Validate() != nil || d.Algorithm().FromBytes(m.Bytes) != d || (wire.IsDigest(reference) && reference != d.String()) {
		return fmt.Errorf("%w: the bytes do not have this digest", ErrConfig)
	}
	r, err := c.wire.ManifestRequest(http.MethodPut, repository, reference, auth.ActionPull, auth.ActionPush)
	if err != nil {
		return err
	}
	r.Header = http.Header{"Content-Type": {m.Descriptor.MediaType}}
	r.Body, r.About = m.Bytes, wire.Contents
	resp, err := c.wire.Send(ctx, r)
	if err != nil {
		return err
	}
	defer wire.Discard(resp)
	if stored := digest.Digest(resp.Header.Get(digestHeader)); stored != "" && stored != d {
		return fmt.Errorf("%w: the registry stored %.100q instead of %s", ErrUnreadable, stored, d)
	}
	return c.wire.Noted(repository, reference, nil)
}

// PutTag restores a tag at a digest that the registry still has (I5). A tag that is already at the digest is left
// alone, and a tag at another digest is ErrTagTaken; both without a write. A tag that is listed and does not
// resolve is ErrUnreadable. Errors wrap ErrNotFound if the registry reports that the digest, or something that it
// references, does not exist. listed are the tags that the repository had before; nil if nothing was written.
//
// OCI has no compare-and-set. A tag that another client pushes between the check
// and the write is overwritten, and the check after the write finds only a later
// push. The claim on the tombstone (I13) excludes other operators, but not people.
func (c *Client) PutTag(ctx context.Context, repository, tag string, d digest.Digest) (listed []string, err error) {
	there, err := c.tagProbablyGone(ctx, repository, tag, d)
	if err == nil && !there {
		var m Manifest
		if m, err = c.Manifest(ctx, repository, d); err == nil {
			listed, err = c.putAbsentTag(ctx, repository, tag, m)
		}
	}
	if err != nil {
		return listed, fmt.Errorf("putting back %s: %w", c.wire.Name(repository, tag), err)
	}
	return listed, nil
}

// tagAt reports whether a tag is at d. It returns ErrTagTaken if the tag is at another digest.
func (c *Client) tagAt(ctx context.Context, repository, tag string, d digest.Digest) (bool, error) {
	if err := c.checkTag(tag); err != nil {
		return false, err
	}
	now, err := c.Resolve(ctx, repository, tag)
	return isAt(tag, now.Digest, err, d)
}

// tagProbablyGone is tagAt, but needs only one request if the tag does not exist.
func (c *Client) tagProbablyGone(ctx context.Context, repository, tag string, d digest.Digest) (bool, error) {
	now, err := c.Tagged(ctx, repository, tag)
	if errors.Is(err, ErrUnreadable) { // the tag may exist with an unknown media type
		return c.tagAt(ctx, repository, tag, d)
	}
	return isAt(tag, now.Descriptor.Digest, err, d)
}

func isAt(tag string, now digest.Digest, err error, d digest.Digest) (bool, error) {
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case now != d:
		return false, fmt.Errorf("%w: %s is at %s, not %s", ErrTagTaken, tag, now, d)
	}
	return true, nil
}

// putAbsentTag writes a tag that the registry has just reported as
// missing, if the tag list confirms that. It returns that list.
func (c *Client) putAbsentTag(ctx context.Context, repository, tag string, m Manifest) ([]string, error) {
	tags, err := c.Tags(ctx, repository)
	if err := notListed(tag, tags, err); err != nil {
		return nil, err
	}
	if tags == nil { // an empty list, as opposed to an unknown one
		tags = []string{}
	}
	return tags, c.putTag(ctx, repository, tag, m)
}

// putTag writes a tag, and checks that it exists at the digest.
func (c *Client) putTag(ctx context.Context, repository, tag string, m Manifest) error {
	if err := c.Put(ctx, repository, tag, m); err != nil {
		return err
	}
	there, err := c.tagAt(ctx, repository, tag, m.Descriptor.Digest)
	if err == nil && !there {
		err = c.wire.Fail(ErrUnavailable, errors.New("the registry took the tag and does not have it"))
	}
	return err
}

// MoveTag moves a tag back to the digest to, which the registry still has. from is the digest to which the
// tag was moved meanwhile, "" if the tag must not exist. MoveTag is the only write that takes a tag from
// another digest, and only a person orders it. A tag that is already at to is left alone, a tag that does
// not exist is written, and a tag at a third digest is ErrTagTaken. A tag that is listed and does not
// resolve is ErrUnreadable. The caller has recorded from, and gives ctx a deadline of 5 s or less. Errors
// wrap ErrNotFound if the registry reports that the digest, or something that it references, does not exist.
//
// As with PutTag, a tag that another client pushes between the check and the write is overwritten.
func (c *Client) MoveTag(ctx context.Context, repository, tag string, from, to digest.Digest) error {
	m, err := c.Manifest(ctx, repository, to) // first, so that the check of the tag is immediately before the write
	if err == nil {
		err = c.moveTag(ctx, repository, tag, from, m)
	}
	if err != nil {
		return fmt.Errorf("moving back %s: %w", c.wire.Name(repository, tag), err)
	}
	return nil
}

func (c *Client) moveTag(ctx context.Context, repository, tag string, from digest.Digest, m Manifest) error {
	there, err := c.tagAt(ctx, repository, tag, m.Descriptor.Digest)
	if errors.Is(err, ErrTagTaken) && from != "" {
		if there, err = c.tagAt(ctx, repository, tag, from); err == nil && there {
			return c.putTag(ctx, repository, tag, m)
		}
	}
	if err != nil || there {
		return err
	}
	_, err = c.putAbsentTag(ctx, repository, tag, m)
	return err
}

// Restore restores a manifest from its bytes, under its digest and under those of the
// tags that do not exist. An existing tag is left alone, whatever its digest (I5). It
// continues after an error and returns all errors. Repeating it is harmless.
func (c *Client) Restore(ctx context.Context, repository string, m Manifest, tags []string) error {
	errs := []error{c.Put(ctx, repository, m.Descriptor.Digest.String(), m)}
	for _, tag := range tags {
		there, err := c.tagAt(ctx, repository, tag, m.Descriptor.Digest)
		if err == nil && !there {
			_, err = c.putAbsentTag(ctx, repository, tag, m)
		}
		if !errors.Is(err, ErrTagTaken) {
			errs = append(errs, err)
		}
	}
	_, err := c.Resolve(ctx, repository, m.Descriptor.Digest.String())
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("restoring %s: %w", c.wire.Name(repository, m.Descriptor.Digest.String()), err)
	}
	return nil
}

func (c *Client) checkTag(tag string) error {
	if err := (oras.Reference{Reference: tag}).ValidateReferenceAsTag(); err != nil {
		return fmt.Errorf("%w: %q is not a tag", ErrConfig, tag)
	}
	return nil
}

// notListed returns nil if the tag list of a repository confirms that a tag does not exist. It is
// checked before a tag is written that seems to be missing: a wrong 404 must not cause the tag to be
// overwritten (I5), and two different kinds of answers of a registry are rarely wrong in the same way.
func notListed(tag string, tags []string, err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case slices.Contains(tags, tag):
		return fmt.Errorf("%w: the registry lists the tag %s and says that it does not exist", ErrUnreadable, tag)
	}
	return nil
}
