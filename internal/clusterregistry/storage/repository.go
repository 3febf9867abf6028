package storage

import (
	"context"
	"errors"
	"io"
	"path"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	repositorymiddleware "github.com/distribution/distribution/v3/registry/middleware/repository"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/platform"
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

// Manifests returns a service whose Delete reaches manifests that are not whole, and whose Put knows chosen platforms.
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

// Put refuses what cannot be understood, and an index without the children that it must have, before anything is written.
// The look after each link is what holds R1 and R2; this only keeps revisions away that could never be answered for, or that
// would keep the repository from being collected.
func (s manifestService) Put(ctx context.Context, m distribution.Manifest, options ...distribution.ManifestServiceOption) (digest.Digest, error) {
	if err := s.complete(ctx, m); err != nil {
		return "", err
	}
	return s.ManifestService.Put(ctx, m, options...)
}

// complete refuses a manifest that cannot be understood, and does for chosen platforms what distribution does for all.
func (s manifestService) complete(ctx context.Context, m distribution.Manifest) error {
	d, name := s.repository.d, s.repository.Named().Name()
	_, content, err := m.Payload()
	if err != nil {
		return err
	}
	index, err := layout.ReadManifest(content)
	if err != nil {
		return errcode.ErrorCodeManifestInvalid.WithMessage(err.Error())
	}
	if len(d.platforms) == 0 {
		return nil
	}
	var c platform.Choice // of all
	if d.partial(name) {
		c = d.platforms.Choose(content)
	}
	var missing distribution.ErrManifestVerification
	for _, child := range index.Manifests {
		if !c.Has(child.Digest) {
			continue
		}
		there, err := s.Exists(ctx, child.Digest)
		if err != nil {
			missing = append(missing, err)
		}
		if !there {
			missing = append(missing, distribution.ErrManifestBlobUnknown{Digest: child.Digest})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return missing
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
	begun, err := s.repository.d.volume.List(layout.UploadsOf(s.repository.Named().Name()))
	if err == nil && len(begun) >= maxUploads {
		err = limitOf(ctx).refuse(ErrTooManyUploads)
	}
	if err != nil {
		return nil, err
	}
	w, err := s.BlobStore.Create(ctx, options...)
	return s.writer(ctx, w, err)
}

func (s blobStore) Resume(ctx context.Context, id string) (distribution.BlobWriter, error) {
	w, err := s.BlobStore.Resume(ctx, id)
	return s.writer(ctx, w, err)
}

func (s blobStore) writer(ctx context.Context, w distribution.BlobWriter, err error) (distribution.BlobWriter, error) {
	if err != nil {
		noteFull(ctx, err)
		return nil, err
	}
	return &blobWriter{BlobWriter: w, repository: s.repository, ctx: ctx}, nil
}

// blobWriter removes an upload with which nobody can go on: one whose content is not what the client says, and one that
// the volume has no room for.
type blobWriter struct {
	distribution.BlobWriter
	repository repository
	// ctx is the request's, which distribution does not give to all of the methods.
	ctx context.Context
	// ended is set when nobody may use BlobWriter any more: it is closed, or the upload is removed.
	ended bool
}

func (w *blobWriter) Write(p []byte) (int, error) {
	n, err := w.BlobWriter.Write(p)
	return n, w.noticed(err)
}

// ReadFrom implements io.ReaderFrom, by which distribution copies the body of a request.
func (w *blobWriter) ReadFrom(from io.Reader) (int64, error) {
	n, err := w.BlobWriter.ReadFrom(from)
	return n, w.noticed(err)
}

// Commit puts the upload in its place. Nobody can go on with one for which that fails.
func (w *blobWriter) Commit(ctx context.Context, provisional ocispec.Descriptor) (ocispec.Descriptor, error) {
	committed, err := w.BlobWriter.Commit(commit(ctx), provisional)
	noteFull(w.ctx, err)
	switch {
	case err == nil:
		w.ended = true
	case !errors.Is(err, errOtherWriter):
		w.remove()
	}
	return committed, err
}

// Close ends what the request does to the upload. Distribution closes some twice, and each time writes the hash of what
// came: that would make the folder of an upload again that has been removed.
func (w *blobWriter) Close() error {
	if w.ended {
		return nil
	}
	w.ended = true
	err := w.BlobWriter.Close()
	if err != nil { // Its file may still be open, and with it the lock.
		noteFull(w.ctx, err)
		w.remove()
	}
	return err
}

// Cancel removes the upload, if that has not been done.
func (w *blobWriter) Cancel(ctx context.Context) error {
	if w.ended {
		return nil
	}
	w.ended = true
	return w.BlobWriter.Cancel(ctx)
}

func (w *blobWriter) noticed(err error) error {
	if err != nil && noteFull(w.ctx, err) {
		w.remove()
	}
	return err
}

// remove removes the upload, unless it is another request's.
func (w *blobWriter) remove() {
	w.ended = true
	// It closes the file, unless that has been done, and leaves the state that it writes anew.
	if err := w.BlobWriter.Cancel(w.ctx); errors.Is(err, errOtherWriter) {
		return
	}
	folder := path.Join(layout.UploadsOf(w.repository.Named().Name()), w.ID())
	err := w.repository.d.Delete(w.ctx, folder)
	if err != nil && !errors.As(err, &storagedriver.PathNotFoundError{}) {
		w.repository.d.log.Warn("could not remove an upload: a collection will", "path", folder, "error", err)
	}
}
