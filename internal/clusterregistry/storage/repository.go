package storage

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/distribution/distribution/v3"
	repositorymiddleware "github.com/distribution/distribution/v3/registry/middleware/repository"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

func init() {
	if err := repositorymiddleware.Register(Name, middleware); err != nil {
		panic(err) // Only if the name is taken.
	}
}

func middleware(_ context.Context, r distribution.Repository, options map[string]any) (distribution.Repository, error) {
	d, ok := options[parameter].(*Driver)
	if !ok {
		return nil, errors.New("the repository middleware of nfo is set by the Configure of its driver")
	}
	return repository{Repository: r, d: d}, nil
}

// repository does what the driver cannot see.
type repository struct {
	distribution.Repository
	d *Driver
}

// Manifests returns a service whose Delete reaches manifests that are not whole.
func (r repository) Manifests(ctx context.Context, options ...distribution.ManifestServiceOption) (distribution.ManifestService, error) {
	service, err := r.Repository.Manifests(ctx, options...)
	return manifestService{ManifestService: service, repository: r}, err
}

// Blobs returns a store whose uploads leave nothing when they fail.
func (r repository) Blobs(ctx context.Context) distribution.BlobStore {
	return blobStore{BlobStore: r.Repository.Blobs(ctx), repository: r}
}

type manifestService struct {
	distribution.ManifestService
	repository repository
}

// Delete removes the revision link, whether or not all below it is there: a manifest that lost a layer must not stay
// for ever because it cannot be read.
func (s manifestService) Delete(ctx context.Context, of digest.Digest) error {
	file := layout.RevisionPath(s.repository.Named().Name(), of)
	if _, err := s.repository.d.volume.Find(file); err != nil {
		return unknown(s.repository.d.error(file, err))
	}
	return unknown(s.repository.d.Delete(ctx, file))
}

// unknown is what distribution's handler calls a manifest that is not there.
func unknown(err error) error {
	if errors.As(err, &storagedriver.PathNotFoundError{}) {
		return distribution.ErrBlobUnknown
	}
	return err
}

type blobStore struct {
	distribution.BlobStore
	repository repository
}

func (s blobStore) Create(ctx context.Context, options ...distribution.BlobCreateOption) (distribution.BlobWriter, error) {
	return s.writer(s.BlobStore.Create(ctx, options...))
}

func (s blobStore) Resume(ctx context.Context, id string) (distribution.BlobWriter, error) {
	return s.writer(s.BlobStore.Resume(ctx, id))
}

func (s blobStore) writer(w distribution.BlobWriter, err error) (distribution.BlobWriter, error) {
	if err != nil {
		return nil, err
	}
	return &blobWriter{BlobWriter: w, repository: s.repository}, nil
}

type blobWriter struct {
	distribution.BlobWriter
	repository repository
	failed     bool
}

// Close and Cancel would write the state of an upload again that has been removed.
func (w *blobWriter) Close() error {
	if w.failed {
		return nil
	}
	return w.BlobWriter.Close()
}

// Cancel removes the upload, if Commit has not.
func (w *blobWriter) Cancel(ctx context.Context) error {
	if w.failed {
		return nil
	}
	return w.BlobWriter.Cancel(ctx)
}

// Commit removes an upload whose content is not what the client says: nobody can go on with it.
func (w *blobWriter) Commit(ctx context.Context, provisional ocispec.Descriptor) (ocispec.Descriptor, error) {
	committed, err := w.BlobWriter.Commit(commit(ctx), provisional)
	if errors.As(err, &distribution.ErrBlobInvalidDigest{}) {
		w.failed = true
		folder := path.Join(layout.UploadsOf(w.repository.Named().Name()), w.ID())
		if gone := w.repository.d.Delete(ctx, folder); gone != nil && !errors.As(gone, &storagedriver.PathNotFoundError{}) {
			w.repository.d.log.Warn(fmt.Sprintf("could not remove an upload: a collection will: %v", gone))
		}
	}
	return committed, err
}
