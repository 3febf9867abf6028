package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// maxReferrerPages bounds the pages of one list of referrers.
const maxReferrerPages = 10

// Satellites finds the satellites of an artifact in a repository, of each of its platforms, and of the
// satellites: by the tags of cosign, by the referrers API, and by the referrers tag. Errors wrap ErrUnreadable
// if there are more than 1,000 satellites, or if they are attached to each other more than 4 deep.
// Spec: OCI distribution-spec, "Listing Referrers" and "Referrers Tag Schema"; cosign, "Signature Specification".
func (c *Client) Satellites(ctx context.Context, repository string, of *Source) ([]Satellite, error) {
	all, err := oci.Satellites(ctx, &attachedIn{c, repository}, of)
	if err != nil {
		return nil, fmt.Errorf("finding signatures of %s: %w", of.Name, err)
	}
	return all, nil
}

// attachedIn finds satellites in a repository.
type attachedIn struct {
	*Client
	repository string
}

func (a *attachedIn) At(ctx context.Context, _ digest.Digest, tag string) (ocispec.Descriptor, bool, error) {
	d, err := a.Resolve(ctx, a.repository, tag)
	if errors.Is(err, ErrNotFound) {
		return d, false, nil
	}
	return d, err == nil, err
}

func (a *attachedIn) About(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	listed, _, err := a.referrers(ctx, a.repository, subject)
	if err != nil {
		return nil, err
	}
	tagged, _, err := a.taggedReferrers(ctx, a.repository, subject.Digest)
	return oci.United(listed, tagged.Manifests), err
}

func (a *attachedIn) Load(ctx context.Context, d ocispec.Descriptor) (*Source, error) {
	b, err := a.bulk(a.repository)
	if err != nil {
		return nil, err
	}
	m, err := a.Manifest(ctx, a.repository, d.Digest)
	if err != nil {
		return nil, err
	}
	at := oci.Place{Name: a.wire.Name(a.repository, d.Digest.String()), Storage: b, Host: a.wire.Location.Host, Repository: a.repository, Alone: true}
	return oci.SourceOf(ctx, at, m)
}

// referrers reads the list of the referrers API. has is false if the registry has no such API.
func (c *Client) referrers(ctx context.Context, repository string, subject ocispec.Descriptor) (all []ocispec.Descriptor, has bool, err error) {
	ref, err := c.wire.Repository(repository)
	if err != nil {
		return nil, false, err
	}
	repo := &remote.Repository{Client: c.wire.Auth, Reference: ref, PlainHTTP: c.wire.Location.PlainHTTP, ReferrerListMaxPages: maxReferrerPages}
	if err := repo.SetReferrersCapability(true); err != nil {
		return nil, false, err
	}
	err = repo.Referrers(ctx, subject, "", func(page []ocispec.Descriptor) error {
		all = append(all, page...)
		return nil
	})
	if errors.Is(err, errdef.ErrUnsupported) {
		return nil, false, nil
	}
	if err = copyFailed(c.wire, err); errors.Is(err, ErrUnsupported) || errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	return all, err == nil, err
}

// taggedReferrers reads the list of referrers at the referrers tag, and returns the list and its digest, "" for none.
func (c *Client) taggedReferrers(ctx context.Context, repository string, subject digest.Digest) (ocispec.Index, digest.Digest, error) {
	m, err := c.Tagged(ctx, repository, oci.ReferrersTag(subject))
	var index ocispec.Index
	switch {
	case errors.Is(err, ErrNotFound):
		return index, "", nil
	case err != nil:
		return index, "", err
	case m.Descriptor.MediaType != ocispec.MediaTypeImageIndex || m.Descriptor.Digest == subject:
		return index, "", nil // the tag is at something other than a list of referrers
	}
	if err := json.Unmarshal(m.Bytes, &index); err != nil {
		return index, "", fmt.Errorf("%w: the referrers of %s", ErrUnreadable, subject)
	}
	return index, m.Descriptor.Digest, nil
}

// Attach makes a satellite that Copy has copied findable. A satellite of cosign gets its tag,
// which replaces the digest over, "" for none. A referrer is added to the list of referrers of its
// subject, unless the registry has the referrers API and keeps the list itself. Existing entries
// of a list at the referrers tag stay. Its errors are those of Tag: if another client changes that
// list at the same time, it returns ErrTagTaken, and another Attach adds to the changed list.
func (c *Client) Attach(ctx context.Context, repository string, s Satellite, over digest.Digest) error {
	if s.Tag != "" {
		return c.Tag(ctx, repository, s.Tag, s.Source, over)
	}
	if err := c.enlist(ctx, repository, s); err != nil {
		return fmt.Errorf("attaching %s to %s: %w", s.Source.Root.Descriptor.Digest, c.wire.Name(repository, s.Subject.String()), err)
	}
	return nil
}

// Attached reports whether a satellite is found where Attach puts it.
func (c *Client) Attached(ctx context.Context, repository string, s Satellite) (bool, error) {
	in := &attachedIn{c, repository}
	if s.Tag != "" {
		d, there, err := in.At(ctx, s.Subject, s.Tag)
		return there && d.Digest == s.Source.Root.Descriptor.Digest, err
	}
	all, err := in.About(ctx, ocispec.Descriptor{Digest: s.Subject})
	return s.In(all), err
}

// Standing returns the state of a satellite in a repository: there reports whether the satellite
// is found where Attach puts it, and over is the digest that its tag is at otherwise, "" for none.
func (c *Client) Standing(ctx context.Context, repository string, s Satellite) (there bool, over digest.Digest, err error) {
	if s.Tag == "" {
		there, err = c.Attached(ctx, repository, s)
		return there, "", err
	}
	at, err := c.Resolve(ctx, repository, s.Tag)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, "", nil
	case err == nil && at.Digest == s.Source.Root.Descriptor.Digest:
		return true, "", nil
	}
	return false, at.Digest, err
}

// enlist adds a referrer to the list at the referrers tag, unless it is already listed. Errors
// wrap ErrUnavailable if the registry has the referrers API and does not list the referrer yet.
func (c *Client) enlist(ctx context.Context, repository string, s Satellite) error {
	listed, has, err := c.referrers(ctx, repository, ocispec.Descriptor{Digest: s.Subject})
	if err != nil || s.In(listed) {
		return err
	}
	index, was, err := c.taggedReferrers(ctx, repository, s.Subject)
	switch {
	case err != nil || s.In(index.Manifests):
		return err
	case has:
		return c.wire.Fail(ErrUnavailable, errors.New("the registry has the referrer and does not list it yet"))
	}
	index.Versioned, index.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageIndex
	index.Manifests = append(index.Manifests, s.Source.Root.AsReferrer())
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	m, err := ParseManifest(index.MediaType, data)
	if err != nil {
		return err
	}
	return c.moveTag(ctx, repository, oci.ReferrersTag(s.Subject), was, m)
}
