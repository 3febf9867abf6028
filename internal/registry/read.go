package registry

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// maxMediaType is the longest media type that is accepted, in bytes. RFC 6838, section 4.2, allows no longer one.
const maxMediaType = 255

const digestHeader = "Docker-Content-Digest"

var accept = http.Header{"Accept": {strings.Join([]string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	oci.MediaTypeDockerManifest, oci.MediaTypeDockerManifestList, oci.MediaTypeArtifactManifest,
}, ", ")}}

// Resolve returns media type, digest and size of a tag or digest, by HEAD. If the answer has no digest
// or size, or cannot say why nothing exists, Resolve gets the manifest itself. It thus sends two
// requests for a tag that does not exist, for which Tagged sends only one. Errors wrap ErrNotFound if
// the registry reports that the tag or digest does not exist, ErrUnreadable if the answer is invalid.
func (c *Client) Resolve(ctx context.Context, repository, reference string) (ocispec.Descriptor, error) {
	desc, err := c.head(ctx, repository, reference)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("resolving %s: %w", c.wire.Name(repository, reference), err)
	}
	return desc, nil
}

// Manifest returns the manifest at a digest. It reads at most MaxManifestBytes and
// verifies their digest. Errors wrap ErrNotFound, or ErrUnreadable if the body is
// too large, has another digest, or is not understood (see ParseManifest).
func (c *Client) Manifest(ctx context.Context, repository string, d digest.Digest) (Manifest, error) {
	m, err := c.fetch(ctx, repository, d.String())
	if err == nil && m.Descriptor.Digest != d { // d is a tag
		err = fmt.Errorf("%w: %q is not a digest", ErrConfig, d)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("reading %s: %w", c.wire.Name(repository, d.String()), err)
	}
	return m, nil
}

// Tagged returns the manifest at a tag: Resolve and Manifest in
// one request. Its errors are those of Resolve and Manifest.
func (c *Client) Tagged(ctx context.Context, repository, tag string) (Manifest, error) {
	err := c.checkTag(tag)
	var m Manifest
	if err == nil {
		m, err = c.fetch(ctx, repository, tag)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("reading %s: %w", c.wire.Name(repository, tag), err)
	}
	return m, nil
}

// Blob returns the verified bytes of a blob. It reads at most limit bytes. Errors
// wrap ErrNotFound, or ErrUnreadable if the blob is larger or has another digest.
// Spec: OCI distribution-spec, "Pulling blobs".
func (c *Client) Blob(ctx context.Context, repository string, d digest.Digest, limit int64) ([]byte, error) {
	data, err := c.blob(ctx, repository, d, limit)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", c.wire.Name(repository, d.String()), err)
	}
	return data, nil
}

func (c *Client) blob(ctx context.Context, repository string, d digest.Digest, limit int64) ([]byte, error) {
	ref, err := c.wire.Repository(repository)
	if err != nil {
		return nil, err
	}
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %q is not a digest", ErrConfig, d)
	}
	resp, err := c.wire.Send(ctx, wire.Request{Method: http.MethodGet, Path: "/v2/" + repository + "/blobs/" + d.String(), Repository: ref, Actions: []string{auth.ActionPull}, About: wire.ABlob})
	if err != nil {
		return nil, err
	}
	defer wire.Discard(resp)
	var data []byte
	err = c.wire.Consume(resp, limit, func(whole []byte) error {
		data = whole
		if d.Algorithm().FromBytes(data) != d {
			return fmt.Errorf("%w: it has another digest", ErrUnreadable)
		}
		return nil
	})
	return data, err
}

func (c *Client) head(ctx context.Context, repository, reference string) (ocispec.Descriptor, error) {
	r, err := c.wire.ManifestRequest(http.MethodHead, repository, reference, auth.ActionPull)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	r.Header = accept
	resp, err := c.wire.Do(ctx, r)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer wire.Discard(resp)
	switch {
	case !headSuffices(resp):
		m, err := c.fetch(ctx, repository, reference)
		return m.Descriptor, err
	case !wire.Succeeded(resp):
		return ocispec.Descriptor{}, c.wire.Answered(resp, r)
	case wire.IsHTML(resp.Header):
		return ocispec.Descriptor{}, fmt.Errorf("%w: a web page answers", ErrUnreadable)
	}
	desc, err := described(resp, reference)
	return desc, c.wire.Noted(repository, reference, err)
}

// headSuffices reports whether an answer to HEAD is sufficient. Such an answer has no body that could
// say why something does not exist. Some registries refuse HEAD, or leave out the digest or the size.
func headSuffices(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusNotImplemented:
		return false
	}
	return !wire.Succeeded(resp) || wire.IsHTML(resp.Header) || (resp.Header.Get(digestHeader) != "" && resp.ContentLength >= 0)
}

// described reads the headers of an answer to HEAD.
func described(resp *http.Response, reference string) (ocispec.Descriptor, error) {
	answered := digest.Digest(resp.Header.Get(digestHeader))
	if err := answered.Validate(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: the registry answers the digest %.100q", ErrUnreadable, answered)
	}
	if wire.IsDigest(reference) && answered.String() != reference {
		return ocispec.Descriptor{}, fmt.Errorf("%w: the registry answers the digest %s", ErrUnreadable, answered)
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || len(mediaType) > maxMediaType {
		mediaType = "" // the digest is what counts; Manifest requires a type
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: answered, Size: resp.ContentLength}, nil
}

// fetch reads the manifest at a tag or digest, and notes whether it exists.
func (c *Client) fetch(ctx context.Context, repository, reference string) (Manifest, error) {
	m, err := c.get(ctx, repository, reference)
	return m, c.wire.Noted(repository, reference, err)
}

func (c *Client) get(ctx context.Context, repository, reference string) (Manifest, error) {
	r, err := c.wire.ManifestRequest(http.MethodGet, repository, reference, auth.ActionPull)
	if err != nil {
		return Manifest{}, err
	}
	r.Header = accept
	resp, err := c.wire.Send(ctx, r)
	if err != nil {
		return Manifest{}, err
	}
	defer wire.Discard(resp)
	var m Manifest
	err = c.wire.Consume(resp, oci.MaxManifestBytes, func(data []byte) (err error) {
		m, err = manifestAnswered(resp.Header, reference, data)
		return err
	})
	return m, err
}

// manifestAnswered reads the manifest in the answer to a request for a reference, and verifies its digest.
func manifestAnswered(header http.Header, reference string, data []byte) (Manifest, error) {
	m, err := ParseManifest(header.Get("Content-Type"), data)
	if err != nil {
		return Manifest{}, err
	}
	want := digest.Digest(reference)
	if !wire.IsDigest(reference) {
		want = digest.Digest(header.Get(digestHeader))
	}
	if want == "" {
		return m, nil
	}
	if want.Validate() != nil || want.Algorithm().FromBytes(data) != want {
		return Manifest{}, fmt.Errorf("%w: its digest is %s, not %.100q", ErrUnreadable, m.Descriptor.Digest, want)
	}
	m.Descriptor.Digest = want
	return m, nil
}

// missing returns nil for an error that wraps ErrNotFound: what
// the registry reports as missing counts as removed (I11).
func missing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
