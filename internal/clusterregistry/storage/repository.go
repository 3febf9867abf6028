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
		panic(err) // Only if the name is already registered.
	}
}

func middleware(_ context.Context, r distribution.Repository, options map[string]any) (distribution.Repository, error) {
	d, ok := options[parameter].(*Driver)
	if !ok {
		return nil, errors.New("the repository middleware of nfo is set by the Configure of its driver")
	}
	return repository{Repository: r, d: d}, nil
}

// repository adds to distribution's repository what the driver cannot see.
type repository struct {
	distribution.Repository
	d *Driver
}

// Manifests returns a service whose Delete reaches incomplete manifests, and whose Put considers the chosen platforms.
func (r repository) Manifests(ctx context.Context, options ...distribution.ManifestServiceOption) (distribution.ManifestService, error) {
	service, err := r.Repository.Manifests(ctx, options...)
	return manifestService{ManifestService: service, repository: r}, err
}

// Blobs returns a store whose failed uploads leave nothing.
func (r repository) Blobs(ctx context.Context) distribution.BlobStore {
	return blobStore{BlobStore: r.Repository.Blobs(ctx), repository: r}
}

type manifestService struct {
	distribution.ManifestService
	repository repository
}

// Put refuses a manifest that cannot be understood, and an index without its required children, before anything is
// written. The check after each link enforces R1 and R2; this check only keeps out revisions that could never be
// served, or that would keep everything of the repository.
func (s manifestService) Put(ctx context.Context, m distribution.Manifest, options ...distribution.ManifestServiceOption) (digest.Digest, error) {
	if err := s.complete(ctx, m); err != nil {
		return "", err
	}
	return s.ManifestService.Put(ctx, m, options...)
}

// complete refuses a manifest that cannot be understood. If platforms are
// chosen, it also checks the children of an index instead of distribution.
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
	var c platform.Choice // the zero value: all children are chosen
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

// Delete removes the revision link even if something below it is missing:
// otherwise a manifest that lost a layer could never be deleted.
func (s manifestService) Delete(ctx context.Context, of digest.Digest) error {
	file := layout.RevisionPath(s.repository.Named().Name(), of)
	if _, err := s.repository.d.volume.Find(file); err != nil {
		return unknown(s.repository.d.error(file, err))
	}
	return unknown(s.repository.d.Delete(ctx, file))
}

// unknown translates the driver's error for a missing file into the error that distribution's handler expects.
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

// blobWriter removes an upload that cannot be continued: its content
// does not match the client's digest, or the volume has no space for it.
type blobWriter struct {
	distribution.BlobWriter
	repository repository
	// ctx is the request's context, which distribution does not pass to all methods.
	ctx context.Context
	// ended is set once BlobWriter must not be used any more: it is closed, or the upload is removed.
	ended bool
}

func (w *blobWriter) Write(p []byte) (int, error) {
	n, err := w.BlobWriter.Write(p)
	return n, w.noticed(err)
}

// ReadFrom implements io.ReaderFrom, which distribution uses to copy the body of a request.
func (w *blobWriter) ReadFrom(from io.Reader) (int64, error) {
	n, err := w.BlobWriter.ReadFrom(from)
	return n, w.noticed(err)
}

// Commit commits the upload. If that fails, the upload cannot be
// continued and is removed, unless another request writes to it.
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

// Close ends this request's use of the upload. Distribution closes some uploads twice, and each time writes its hash
// state, which would create the folder of a removed upload again.
func (w *blobWriter) Close() error {
	if w.ended {
		return nil
	}
	w.ended = true
	err := w.BlobWriter.Close()
	if err != nil { // The file, and with it the lock, may still be open.
		noteFull(w.ctx, err)
		w.remove()
	}
	return err
}

// Cancel removes the upload, unless the writer has ended.
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

// remove removes the upload, unless another request writes to it.
func (w *blobWriter) remove() {
	w.ended = true
	// Cancel closes the file, unless it is closed. It leaves the hash state that it writes again.
	if err := w.BlobWriter.Cancel(w.ctx); errors.Is(err, errOtherWriter) {
		return
	}
	folder := path.Join(layout.UploadsOf(w.repository.Named().Name()), w.ID())
	err := w.repository.d.Delete(w.ctx, folder)
	if err != nil && !errors.As(err, &storagedriver.PathNotFoundError{}) {
		w.repository.d.log.Warn("could not remove an upload: a collection will", "path", folder, "error", err)
	}
}
