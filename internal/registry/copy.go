package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

const (
	// copiesAtOnce is how many blobs of an artifact are uploaded at a time, unless CopyOptions say so.
	copiesAtOnce = 3
	// PatientStall is the CopyOptions.Stall of commands, behind which no other copy waits: long enough for any line, and an
	// end for a registry that sends no more.
	PatientStall = 5 * time.Minute
)

// CopyOptions are how CopyWith copies.
type CopyOptions struct {
	// Blobs are how many blobs are uploaded at a time. Default: 3.
	Blobs int
	// Stall is in what time at least 64 KiB of each blob have to move, from its first byte to its last. Default: it takes
	// as long as it takes.
	Stall time.Duration
	// TargetChecks says that the registry which is copied to takes no blob whose bytes are not of its digest, as the one that
	// nfo ships. Its refusal then names a source whose bytes are wrong; without it, what is read is hashed before it is sent.
	TargetChecks bool
	// Known, when not nil, returns a repository of the same registry that probably has a blob, from which it is mounted
	// rather than uploaded; "" for none.
	Known func(digest.Digest) string
}

// Source finds an artifact at a tag or digest, to copy it elsewhere. It reads the manifests and no
// blob. Errors wrap ErrNotFound when it is not there, ErrUnreadable when it is not one that Copy can copy.
func (c *Client) Source(ctx context.Context, repository, reference string) (*Source, error) {
	return c.SourceWith(ctx, repository, reference, Selection{})
}

// SourceWith is Source for some of the children of an index. Errors wrap platform.ErrNone if the index has none of the
// platforms that are selected.
func (c *Client) SourceWith(ctx context.Context, repository, reference string, selection Selection) (*Source, error) {
	root, err := c.fetch(ctx, repository, reference)
	var b *bulk
	if err == nil {
		b, err = c.bulk(repository)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.wire.Name(repository, reference), err)
	}
	at := oci.Place{Name: c.wire.Name(repository, reference), Storage: b, Host: c.wire.Location.Host, Repository: repository, Selection: selection}
	return oci.SourceOf(ctx, at, root)
}

// Copy uploads what a repository does not have of an artifact, blobs first, then the manifests, all
// at their digests and byte by byte as they are, an index with all children that belong to s. It sets no tag: Tag
// does. Blobs of the same registry are mounted rather than uploaded where the login allows it. moved,
// which is called from several goroutines, gets the bytes that are done, those that were there
// included; they come to about s.Size. What was copied before an error stays, and copying again goes on.
// It takes as long as it takes, until ctx ends. Errors wrap ErrUnavailable when trying again can
// help, ErrUnreadable when a blob of s is not of its digest.
func (c *Client) Copy(ctx context.Context, repository string, s *Source, moved func(bytes int64)) error {
	return c.CopyWith(ctx, repository, s, moved, CopyOptions{})
}

// CopyWith is Copy with options.
func (c *Client) CopyWith(ctx context.Context, repository string, s *Source, moved func(bytes int64), o CopyOptions) error {
	to, err := c.bulk(repository)
	if err == nil {
		options := oras.CopyGraphOptions{Concurrency: cmp.Or(o.Blobs, copiesAtOnce), MaxMetadataBytes: oci.MaxManifestBytes}
		done := func(_ context.Context, d ocispec.Descriptor) error { moved(d.Size); return nil }
		options.OnCopySkipped, options.OnMounted = done, done
		switch {
		case s.Host == c.wire.Location.Host && s.Repository != repository && s.Repository != "":
			options.MountFrom = func(context.Context, ocispec.Descriptor) ([]string, error) { return []string{s.Repository}, nil }
		case o.Known != nil:
			options.MountFrom = mountFrom(repository, s, o.Known)
		}
		if s.Alone || len(s.Absent()) > 0 {
			options.FindSuccessors = func(_ context.Context, _ content.Fetcher, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
				return s.PartsOf(d.Digest), nil
			}
		}
		from := s.Reading(moved, o.Stall, o.TargetChecks)
		err = copyFailed(c.wire, oras.CopyGraph(ctx, from, target{to, s}, s.Root.Descriptor, options))
		if spoiled := from.Failed(); spoiled != nil {
			err = spoiled
		}
	}
	if err != nil {
		return fmt.Errorf("copying %s to %s: %w", s.Name, c.wire.Name(repository, s.Root.Descriptor.Digest.String()), err)
	}
	return nil
}

// mountFrom makes known what oras-go asks. Only what the source has is mounted: its answer says that who may read it there may
// have it, and anyone can write the digest of another's blob into a manifest.
func mountFrom(repository string, s *Source, known func(digest.Digest) string) func(context.Context, ocispec.Descriptor) ([]string, error) {
	return func(ctx context.Context, d ocispec.Descriptor) ([]string, error) {
		at := known(d.Digest)
		if at == "" || at == repository {
			return nil, nil
		}
		if there, err := s.Storage.Exists(ctx, d); err != nil || !there {
			return nil, nil //nolint:nilerr // it is read from the source then, which says what is wrong
		}
		return []string{at}, nil
	}
}

// Tag puts a tag on what Copy has copied. A tag that is there at the same digest is left alone; one
// that is at another than over, which it replaces, is ErrTagTaken, without a write; "" replaces none. OCI
// has no compare-and-set: who sets the tag between our look and our write loses it.
func (c *Client) Tag(ctx context.Context, repository, tag string, s *Source, over digest.Digest) error {
	if err := c.moveTag(ctx, repository, tag, over, s.Root); err != nil {
		return fmt.Errorf("tagging %s: %w", c.wire.Name(repository, tag), err)
	}
	return nil
}

// Verify looks that a tag, "" for none, is at an artifact's digest and that every manifest and blob of the artifact is
// there, the manifests byte by byte. Errors wrap ErrNotFound when something is missing, ErrTagTaken
// when the tag is elsewhere.
func (c *Client) Verify(ctx context.Context, repository, tag string, root ocispec.Descriptor) error {
	return c.VerifyWith(ctx, repository, tag, root, Selection{})
}

// VerifyWith is Verify for some of the children of an index.
func (c *Client) VerifyWith(ctx context.Context, repository, tag string, root ocispec.Descriptor, selection Selection) error {
	var err error
	if tag != "" {
		var there bool
		if there, err = c.tagAt(ctx, repository, tag, root.Digest); err == nil && !there {
			err = fmt.Errorf("%w: the tag is not there", ErrNotFound)
		}
	}
	var b *bulk
	if err == nil {
		b, err = c.bulk(repository)
	}
	if err == nil {
		_, err = oci.SourceAt(ctx, oci.Place{Name: repository, Storage: b, Selection: selection}, root)
	}
	if err != nil {
		return fmt.Errorf("verifying %s: %w", c.wire.Name(repository, tag), err)
	}
	return nil
}

// bulk is one repository as oras-go copies from and to it. Its errors are this package's.
type bulk struct {
	wire *wire.Client
	repo *remote.Repository
}

func (c *Client) bulk(repository string) (*bulk, error) {
	ref, err := c.wire.Repository(repository)
	if err != nil {
		return nil, err
	}
	repo := &remote.Repository{Client: c.wire.Blobs, Reference: ref, PlainHTTP: c.wire.Location.PlainHTTP}
	// What has a subject is found through the registry's referrers API, where it has one. Without
	// this oras-go could write the tag sha256-<hex>, and delete what it was at, which nobody asked for.
	return &bulk{c.wire, repo}, repo.SetReferrersCapability(true)
}

func (b *bulk) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	body, err := b.repo.Fetch(ctx, d)
	return body, copyFailed(b.wire, err)
}

func (b *bulk) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	there, err := b.repo.Exists(ctx, d)
	return there, copyFailed(b.wire, err)
}

// target is a repository to copy to.
type target struct {
	*bulk
	from *Source
}

// Exists looks for blobs alone. A manifest that is there does not show that all it names is there,
// such as after a copy that was interrupted; putting it again costs one request.
func (t target) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	if oci.IsManifest(d.MediaType) {
		return false, nil
	}
	return t.bulk.Exists(ctx, d)
}

func (t target) Push(ctx context.Context, d ocispec.Descriptor, data io.Reader) error {
	return t.failed(d, t.repo.Push(ctx, d, data))
}

// failed makes an error of oras-go about an upload one of this package.
func (t target) failed(d ocispec.Descriptor, err error) error {
	if refused := new(errcode.ErrorResponse); errors.As(err, &refused) && slices.ContainsFunc(refused.Errors, ofOtherDigest) {
		return t.from.Spoiled(d.Digest, "do not have this digest")
	}
	return copyFailed(t.wire, err)
}

// ofOtherDigest reports whether a registry refuses what was pushed because it is not of the digest that was named.
func ofOtherDigest(e errcode.Error) bool { return e.Code == errcode.ErrorCodeDigestInvalid }

// Mount uploads what the login may not mount.
func (t target) Mount(ctx context.Context, d ocispec.Descriptor, from string, open func() (io.ReadCloser, error)) error {
	opened := false
	err := t.failed(d, t.repo.Mount(ctx, d, from, func() (io.ReadCloser, error) { opened = true; return open() }))
	if opened || !errors.Is(err, ErrDenied) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnsupported) {
		return err
	}
	data, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }() // only read
	return t.Push(ctx, d, data)
}

// copyFailed makes an error of oras-go one of this package.
func copyFailed(w *wire.Client, err error) error {
	var known *failure.Error
	var answer *errcode.ErrorResponse
	var sending *url.Error
	var reading *fs.PathError
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, ErrUnreadable), errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, ErrAddress):
		return w.Fail(ErrAddress, err)
	case errors.As(err, &reading): // of a layout
		return w.Fail(ErrUnreadable, err)
	case errors.As(err, &answer):
		return w.Fail(wire.Classify(answer), err)
	case errors.Is(err, errdef.ErrNotFound):
		return w.Fail(ErrNotFound, err)
	case errors.As(err, &sending):
		return w.Fail(ErrUnavailable, err)
	case errors.Is(err, content.ErrMismatchedDigest), errors.Is(err, content.ErrTrailingData), errors.Is(err, content.ErrInvalidDescriptorSize):
		return w.Fail(ErrUnreadable, err)
	}
	return w.SendFailed(err)
}
