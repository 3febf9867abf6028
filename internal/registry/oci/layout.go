package oci

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"

	"github.com/nfo-operator/nfo/internal/files"
	"github.com/nfo-operator/nfo/internal/registry/decode"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// ImageNameAnnotation has the full name of an image in a layout. containerd and docker write it.
const ImageNameAnnotation = "io.containerd.image.name"

// ImageName returns the name of an entry of a layout's index.json: the
// full name if it has one, otherwise the reference name, "" for none.
func ImageName(image ocispec.Descriptor) string {
	return cmp.Or(image.Annotations[ImageNameAnnotation], image.Annotations[ocispec.AnnotationRefName])
}

// ImageNames returns the names of an entry of a layout's index.json: the full name, and the
// tag that docker, containerd and buildx also write. Several entries may have the same tag.
func ImageNames(image ocispec.Descriptor) (all []string) {
	for _, name := range []string{image.Annotations[ImageNameAnnotation], image.Annotations[ocispec.AnnotationRefName]} {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// maxLayoutBytes bounds a layout's index.json, in bytes.
const maxLayoutBytes = MaxManifestBytes

// Layout is an OCI image layout, as skopeo, buildah and docker write it: a folder, or an
// uncompressed tar archive. Nothing outside of the layout is read, even if a link points there.
// Spec: OCI image-spec, "Image Layout".
//
// oras-go does not read index.json here, because it sets no bound and reads everything that index.json references.
type Layout struct {
	// Images are the entries of index.json, unchanged.
	Images []ocispec.Descriptor

	path    string
	storage content.ReadOnlyStorage
	close   func() error

	reading  sync.Mutex
	attached *attachments // nil until they are read
}

// OpenLayout opens a folder. Errors wrap ErrUnreadable if it is not a layout.
func OpenLayout(name string) (*Layout, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("opening the layout: %w", err)
	}
	folder := files.Regular{FS: root.FS()}
	l := &Layout{path: name, storage: layoutStorage{oci.NewStorageFromFS(folder), folder}, close: root.Close}
	texts := map[string][]byte{}
	for _, file := range []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile} {
		if texts[file], err = readText(folder, file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("opening the layout %s: %w", name, err), root.Close())
		}
	}
	if err := l.read(texts); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return l, nil
}

// OpenLayoutArchive opens a tar archive. Errors wrap ErrUnreadable if it contains no layout.
func OpenLayoutArchive(name string) (*Layout, error) {
	texts, err := readArchive(name)
	if err != nil {
		return nil, fmt.Errorf("opening the layout %s: %w", name, err)
	}
	storage, err := oci.NewStorageFromTar(name)
	if err != nil {
		return nil, fmt.Errorf("opening the layout: %w", err)
	}
	l := &Layout{path: name, storage: layoutStorage{storage, nil}, close: func() error { return nil }}
	return l, l.read(texts)
}

// Close closes the files. No Source of the layout can be used afterwards.
func (l *Layout) Close() error { return l.close() }

// Source finds an image of the layout. It checks that every part exists, and that
// each manifest has its digest. Errors wrap ErrNotFound if a part is missing.
func (l *Layout) Source(ctx context.Context, image ocispec.Descriptor) (*Source, error) {
	return l.SourceWith(ctx, image, Selection{})
}

// SourceWith is Source for some of the children of an index.
func (l *Layout) SourceWith(ctx context.Context, image ocispec.Descriptor, selection Selection) (*Source, error) {
	s := &Source{Place: Place{Name: l.path, Storage: l.storage, Selection: selection}}
	if !IsManifest(image.MediaType) {
		return nil, fmt.Errorf("reading %.100q of %s: %w: its media type is %.100q", image.Digest, l.path, failure.ErrUnreadable, image.MediaType)
	}
	return s, s.find(ctx, ocispec.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size}, true)
}

// Blob opens a part of an image of the layout. Errors wrap ErrNotFound if the part is missing. Reading
// it fails with an error that wraps ErrUnreadable if the bytes do not have the part's digest and size.
func (l *Layout) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if d.Digest.Validate() != nil {
		return nil, fmt.Errorf("reading %.100q of %s: %w: it is not a digest", d.Digest, l.path, failure.ErrUnreadable)
	}
	there, err := l.storage.Exists(ctx, d)
	if err == nil && !there {
		err = failure.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", d.Digest, l.path, err)
	}
	return (&Source{Place: Place{Name: l.path, Storage: l.storage}}).Open(ctx, d, 0)
}

// read parses the layout's two files.
func (l *Layout) read(texts map[string][]byte) error {
	for _, file := range []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile} {
		if texts[file] == nil {
			return fmt.Errorf("opening the layout %s: %w: it is not an OCI image layout, for it has no file %s", l.path, failure.ErrUnreadable, file)
		}
	}
	var version ocispec.ImageLayout
	var index struct {
		Manifests layoutEntries `json:"manifests"`
	}
	if err := json.Unmarshal(texts[ocispec.ImageLayoutFile], &version); err != nil || version.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("opening the layout %s: %w: its %s does not say version %s", l.path, failure.ErrUnreadable, ocispec.ImageLayoutFile, ocispec.ImageLayoutVersion)
	}
	if err := json.Unmarshal(texts[ocispec.ImageIndexFile], &index); err != nil {
		return fmt.Errorf("opening the layout %s: %w: %s: %w", l.path, failure.ErrUnreadable, ocispec.ImageIndexFile, err)
	}
	l.Images = index.Manifests
	return nil
}

// layoutEntries are the entries of an index.json.
type layoutEntries []ocispec.Descriptor

// UnmarshalJSON reads at most MaxDescriptors entries. If the field occurs twice, it takes the entries of both.
func (l *layoutEntries) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	return decode.EachOf(data, func(d ocispec.Descriptor) error {
		if len(*l) == decode.MaxDescriptors {
			return fmt.Errorf("%w: it lists more than %d images", failure.ErrUnreadable, decode.MaxDescriptors)
		}
		*l = append(*l, d)
		return nil
	})
}

// readText reads one of the layout's two files. Errors wrap
// failure.ErrUnreadable, and fs.ErrNotExist if the file is missing.
func readText(folder fs.FS, name string) ([]byte, error) {
	file, err := folder.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", failure.ErrUnreadable, err)
	}
	defer func() { _ = file.Close() }() // only read
	return readSmall(file, name)
}

func readSmall(r io.Reader, name string) ([]byte, error) {
	data, err := files.Read(r, maxLayoutBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", failure.ErrUnreadable, name, err)
	}
	return data, nil
}

// readArchive reads the layout's two files from a tar archive.
func readArchive(name string) (map[string][]byte, error) {
	file, err := files.Open(name)
	if errors.Is(err, files.ErrNotRegular) {
		err = fmt.Errorf("%w: %w", failure.ErrUnreadable, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	texts := map[string][]byte{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return texts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: it is not a tar archive, or a compressed one: %w", failure.ErrUnreadable, err)
		}
		entry := path.Clean(header.Name)
		if header.Typeflag != tar.TypeReg || (entry != ocispec.ImageLayoutFile && entry != ocispec.ImageIndexFile) {
			continue
		}
		if texts[entry], err = readSmall(archive, entry); err != nil {
			return nil, err
		}
	}
}

// layoutStorage reads the blobs of a layout.
type layoutStorage struct {
	content.ReadOnlyStorage
	folder fs.FS // nil for an archive
}

// Exists checks that a blob is a regular file of its size.
func (l layoutStorage) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	info, err := l.stat(ctx, d)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && info == nil:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: %w", failure.ErrUnreadable, err)
	case !info.Mode().IsRegular() || info.Size() != d.Size:
		return false, fmt.Errorf("%w: it is not a file of %d bytes", failure.ErrUnreadable, d.Size)
	}
	return true, nil
}

func (l layoutStorage) stat(ctx context.Context, d ocispec.Descriptor) (fs.FileInfo, error) {
	if l.folder != nil {
		return fs.Stat(l.folder, path.Join(ocispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded()))
	}
	if there, err := l.ReadOnlyStorage.Exists(ctx, d); err != nil || !there {
		return nil, err
	}
	blob, err := l.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = blob.Close() }() // only read
	file, ok := blob.(fs.File)
	if !ok {
		return nil, errors.New("it is not a file")
	}
	return file.Stat()
}
