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
	// copiesAtOnce is how many blobs of an artifact are uploaded
	// at the same time, unless CopyOptions set another number.
	copiesAtOnce = 3
	// PatientStall is the CopyOptions.Stall of commands, which block no other copy. It is
	// long enough for slow connections, and still ends a copy if a registry sends no more.
	PatientStall = 5 * time.Minute
)

// CopyOptions are the options of CopyWith.
type CopyOptions struct {
	// Blobs is how many blobs are uploaded at the same time. Default: 3.
	Blobs int
	// Stall is the time within which each further 64 KiB of a
	// blob, or its rest, must be transferred. Default: no bound.
	Stall time.Duration
	// TargetChecks says that the target registry refuses a blob whose bytes do not
	// have its digest, as nfo's own registry does. The refusal then shows that the
	// source is damaged. Otherwise the bytes are hashed here before they are sent.
	TargetChecks bool
	// Known, when not nil, returns a repository of the target registry that probably
	// has a blob, "" for none. The blob is mounted from there instead of uploaded.
	Known func(digest.Digest) string
}

// Source finds an artifact at a tag or digest, to copy it elsewhere. It reads the manifests and no
// blob. Errors wrap ErrNotFound if the artifact does not exist, ErrUnreadable if Copy cannot copy it.
func (c *Client) Source(ctx context.Context, repository, reference string) (*Source, error) {
	return c.SourceWith(ctx, repository, reference, Selection{})
}

// SourceWith is Source for some of the children of an index. Errors wrap
// platform.ErrNone if the index has none of the selected platforms.
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

// Copy uploads the parts of an artifact that a repository does not have, blobs first, then the manifests, all of
// them byte by byte and at their digests. Of an index it copies all children that belong to s. It sets no tag:
// Tag does. Blobs of the same registry are mounted instead of uploaded if the login allows it. moved is called
// from several goroutines with the bytes that are done, existing ones included; they add up to about s.Size.
// Parts that were copied before an error stay, and another Copy continues from there. It has no time limit except
// ctx. Errors wrap ErrUnavailable if another try can help, ErrUnreadable if a blob of s does not have its digest.
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

// mountFrom adapts known to oras-go. It mounts a blob only if the source has the blob,
// which shows that a reader of the source may have it. The manifest alone does not show
// that, because anyone can write the digest of another tenant's blob into a manifest.
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

// Tag sets a tag on an artifact that Copy has copied. A tag that is already at the same digest is left alone. A tag
// at the digest over is replaced; over is "" to replace none. A tag at any other digest is ErrTagTaken, without a
// write. OCI has no compare-and-set: a tag that another client sets between the check and the write is overwritten.
func (c *Client) Tag(ctx context.Context, repository, tag string, s *Source, over digest.Digest) error {
	if err := c.moveTag(ctx, repository, tag, over, s.Root); err != nil {
		return fmt.Errorf("tagging %s: %w", c.wire.Name(repository, tag), err)
	}
	return nil
}

// Verify checks that a tag, "" for none, is at an artifact's digest and that every
// manifest and blob of the artifact exists, the manifests byte by byte. Errors wrap
// ErrNotFound if something is missing, ErrTagTaken if the tag is at another digest.
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

// bulk is one repository as oras-go copies from it and to it. Its errors are those of this package.
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
	// With this setting, oras-go uses the registry's referrers API for an artifact with a subject.
	// Otherwise it could write the tag sha256-<hex> and delete the digest that the tag was at.
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

// Exists checks blobs only, and returns false for every manifest. An existing manifest does not show that everything
// it references exists, for example after an interrupted copy. Putting the manifest again costs one request.
func (t target) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	if oci.IsManifest(d.MediaType) {
		return false, nil
	}
	return t.bulk.Exists(ctx, d)
}

func (t target) Push(ctx context.Context, d ocispec.Descriptor, data io.Reader) error {
	return t.failed(d, t.repo.Push(ctx, d, data))
}

// failed turns an error of oras-go about an upload into one of this package.
func (t target) failed(d ocispec.Descriptor, err error) error {
	if refused := new(errcode.ErrorResponse); errors.As(err, &refused) && slices.ContainsFunc(refused.Errors, ofOtherDigest) {
		return t.from.Spoiled(d.Digest, "do not have this digest")
	}
	return copyFailed(t.wire, err)
}

// ofOtherDigest reports whether a registry refuses an upload because the bytes do not have the given digest.
func ofOtherDigest(e errcode.Error) bool { return e.Code == errcode.ErrorCodeDigestInvalid }

// Mount mounts a blob, and uploads it if the login may not mount it or the registry cannot.
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

// copyFailed turns an error of oras-go into one of this package.
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
	case errors.As(err, &reading): // reading a layout failed
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
