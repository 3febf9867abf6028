package storage

import (
	"context"
	"errors"
	"io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// pageBytes bounds the manifests that one page of referrers is made of, in bytes, because the page repeats their
// annotations. The last manifest of a page may exceed the bound.
const pageBytes = 1 << 20

// Referrers lists the manifests of a repository whose subject is the given digest, sorted by digest:
// at most limit of those after the digest after. next is empty if there are no more. The subject
// itself may be missing. Manifests that are not completely present are left out. The list ends early
// if the limit of the request is exceeded, or if the manifests are too large for one page.
func (d *Driver) Referrers(ctx context.Context, repository string, subject, after digest.Digest, limit int) (list []ocispec.Descriptor, next digest.Digest, err error) {
	folder := layout.ReferrersOf(repository, subject)
	entries, err := d.volume.List(folder + "/sha256")
	if err != nil {
		return nil, "", err
	}
	var bytes int64
	for _, e := range entries {
		of := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if of <= after || of.Validate() != nil {
			continue
		}
		if len(list) == limit || bytes > pageBytes {
			return list, list[len(list)-1].Digest, nil
		}
		descriptor, err := d.referrer(ctx, repository, of)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, errTooMuch) && len(list) > 0 {
			return list, list[len(list)-1].Digest, nil
		}
		if err != nil {
			return nil, "", err
		}
		list = append(list, descriptor)
		bytes += descriptor.Size
	}
	return list, "", nil
}

func (d *Driver) referrer(ctx context.Context, repository string, of digest.Digest) (ocispec.Descriptor, error) {
	if _, err := d.revision(ctx, layout.Path{Repository: repository, Digest: of}); err != nil {
		return ocispec.Descriptor{}, err
	}
	content, err := d.small(ctx, of)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	m, err := layout.ReadManifest(content)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{
		MediaType: m.MediaType, ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		Digest: of, Size: int64(len(content)),
	}, nil
}

// Subject returns the subject of a manifest that was recently read or written, or "".
func (d *Driver) Subject(of digest.Digest) digest.Digest {
	m, ok := d.manifests.Get(of)
	if !ok {
		return ""
	}
	return m.Subject
}
