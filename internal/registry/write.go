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

// Untag removes one tag by name, at whatever digest it is now: the caller resolves it just
// before, and gives ctx a deadline of 5 s or less. Not found is success (I11). Errors wrap
// ErrUnsupported when the registry removes no tags; then nothing has changed. Where it is not
// known that the registry removes the tag alone, Trial is to be used instead (I6).
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

// Delete removes one digest, and with it, in most registries, every tag on it. Errors wrap
// ErrNotFound when the registry says that it does not exist, and nothing was done; ErrUnsupported when
// deletion is off; ErrDenied when the registry still needs the digest or holds it locked.
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

// Put stores a manifest's bytes under a tag or under its digest, and overwrites a tag that is
// there: PutTag does not, MoveTag only as asked. The bytes are checked against the digest first. Errors wrap
// ErrNotFound when layers or children that it names are gone.
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

// PutTag brings a tag back at a digest that the registry still has (I5). A tag that is there
// at the same digest is left alone, at another it is ErrTagTaken; both without a write. A tag that is
// listed and does not resolve is ErrUnreadable. Errors wrap ErrNotFound when the registry says that
// the digest, or something that it refers to, does not exist. listed are the tags that the repository
// had before; nil where nothing was written.
//
// OCI has no compare-and-set. Who pushes the tag between the look and the write loses it to
// us; the look afterwards finds only who pushed later. The claim on the tombstone (I13) keeps
// other operators out, not people.
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

// tagAt says whether a tag is there at d; ErrTagTaken when it is elsewhere.
func (c *Client) tagAt(ctx context.Context, repository, tag string, d digest.Digest) (bool, error) {
	if err := c.checkTag(tag); err != nil {
		return false, err
	}
	now, err := c.Resolve(ctx, repository, tag)
	return isAt(tag, now.Digest, err, d)
}

// tagProbablyGone is tagAt in one request where the tag does not exist.
func (c *Client) tagProbablyGone(ctx context.Context, repository, tag string, d digest.Digest) (bool, error) {
	now, err := c.Tagged(ctx, repository, tag)
	if errors.Is(err, ErrUnreadable) { // it may exist, and be of a type that we do not know
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

// putAbsentTag writes a tag that the registry has just said does not exist, if its tag list agrees. It
// returns that list.
func (c *Client) putAbsentTag(ctx context.Context, repository, tag string, m Manifest) ([]string, error) {
	tags, err := c.Tags(ctx, repository)
	if err := notListed(tag, tags, err); err != nil {
		return nil, err
	}
	if tags == nil { // it has none, which is not the same as unknown
		tags = []string{}
	}
	return tags, c.putTag(ctx, repository, tag, m)
}

// putTag writes a tag, and checks that it is there.
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

// MoveTag brings a tag back to a digest that the registry still has, over the digest from that somebody
// pushed there; from "" says that the tag is to be absent. It is the one write that takes a tag from
// another digest, and only a person orders it. A tag that is there already is left alone, and so is
// one at a third digest: ErrTagTaken. One that is listed and does not resolve is ErrUnreadable. The
// caller has recorded from, and gives ctx a deadline of 5 s or less. Errors wrap ErrNotFound when the
// registry says that the digest, or something that it refers to, does not exist.
//
// As with PutTag, who pushes between the look and the write loses the tag to us.
func (c *Client) MoveTag(ctx context.Context, repository, tag string, from, to digest.Digest) error {
	m, err := c.Manifest(ctx, repository, to) // first, so that the look is right before the write
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

// Restore puts a manifest back from its bytes, under its digest and under those of the tags
// that are absent. A tag that is there, wherever, is left alone (I5). It goes on after an
// error and returns all of them; doing it again is harmless.
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

// notListed is nil if the tag list of a repository confirms that a tag does not exist. It is asked
// before a tag is written where none seems to be: a wrong 404 must not overwrite a tag (I5), and two
// different answers of a registry are rarely wrong in the same way.
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
