package storage

import (
	"context"
	"errors"
	"io/fs"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// pageBytes is how many bytes of manifests, whose annotations it repeats, one page of referrers is made of. The last one
// may exceed it.
const pageBytes = 1 << 20

// Referrers lists manifests of a repository whose subject is the given digest, in the order of their digests, at most
// so many of those that come after the given one. Next is empty if there are no more. The subject itself may be
// missing. A manifest that is not whole is left out. The list ends early where the request may not look at more, and
// where the manifests that it has read are too large for one answer.
func (d *Driver) Referrers(ctx context.Context, repository string, subject, after digest.Digest, most int) (list []ocispec.Descriptor, next digest.Digest, err error) {
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
		if len(list) == most || bytes > pageBytes {
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

// Subject is the subject of a manifest that was read or written not long ago, or empty.
func (d *Driver) Subject(of digest.Digest) digest.Digest {
	m, ok := d.manifests.Get(of)
	if !ok {
		return ""
	}
	return m.Subject
}
