package ocilayout

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

const (
	// maxEntries and maxIndexBytes bound index.json, as the reader of layouts does.
	maxEntries    = 10_000
	maxIndexBytes = registry.MaxManifestBytes
)

var (
	// ErrNotLayout means that the existing file or folder is not a layout, and is not overwritten.
	ErrNotLayout = errors.New("it exists, and is not an OCI image layout: use another name")
	// ErrWriting means that writing the layout failed. The images are not the cause.
	ErrWriting = errors.New("the layout cannot be written")
)

// Image is an image to add.
type Image struct {
	// Name is the full name, with host, and tag or digest.
	Name string
	// Repository is the name without tag and digest.
	Repository string
	Source     *registry.Source
	Satellites []registry.Satellite
}

// Writer writes one layout. It is used by one goroutine.
type Writer struct {
	// Stall is the time within which each further 64 KiB of a blob
	// must arrive from the source. Create sets it to 5 minutes.
	Stall time.Duration

	to    sink
	index []ocispec.Descriptor
	// named has the position of each entry by its key, and done the parts that are written.
	named map[string]int
	done  map[digest.Digest]bool
	// copied counts the blobs that were read from sources.
	copied int
}

// sink is the place to which a layout is written.
type sink interface {
	// has reports whether a part exists with its digest. It may copy the part from the previous archive.
	has(ctx context.Context, d ocispec.Descriptor) (bool, error)
	// put writes a part.
	put(d ocispec.Descriptor, from io.Reader) error
	// entries returns the entries of the existing index.json, which stay.
	entries() []ocispec.Descriptor
	// finish writes index.json, and gives the layout its name.
	finish(index []byte) error
	// abandon removes what is useless without finish.
	abandon()
}

// Create begins a layout: an archive, or else a folder. The
// caller must call Abandon in the end. Errors wrap ErrNotLayout.
func Create(name string, archive bool) (*Writer, error) {
	w := &Writer{Stall: registry.PatientStall, named: map[string]int{}, done: map[digest.Digest]bool{}}
	var err error
	if archive {
		w.to, err = createArchive(name)
	} else {
		w.to, err = createFolder(name)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the layout %s: %w", name, err)
	}
	for _, d := range w.to.entries() {
		w.appendEntry(d) // even if two have the same name, because replacing either was not requested
	}
	return w, nil
}

// Add adds an image with its satellites, blobs first. After an error it can be called again for
// the same image. moved is called with the bytes that are done, existing ones included; they
// add up to about the sum of the sizes. Errors wrap ErrWriting, or are those of the source.
func (w *Writer) Add(ctx context.Context, i Image, moved func(int64)) error {
	for _, s := range i.Satellites {
		if err := w.write(ctx, s.Source, moved); err != nil {
			return err
		}
	}
	if err := w.write(ctx, i.Source, moved); err != nil {
		return err
	}
	for _, s := range i.Satellites { // a referrer needs no name, because its manifest references the subject
		name := ""
		if s.Tag != "" {
			name = i.Repository + ":" + s.Tag
		}
		if err := w.putEntry(entryOf(s.Source, name)); err != nil {
			return err
		}
	}
	return w.putEntry(entryOf(i.Source, i.Name))
}

// Copied returns how many blobs were read from sources so far.
func (w *Writer) Copied() int { return w.copied }

// Finish completes the layout. Nothing can be added afterwards.
func (w *Writer) Finish() error {
	text, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: w.index})
	if err == nil && len(text) > maxIndexBytes {
		err = fmt.Errorf("index.json would have more than %d bytes: export the images of fewer namespaces", maxIndexBytes)
	}
	if err == nil {
		err = w.to.finish(text)
	}
	if err != nil {
		return fmt.Errorf("completing the layout: %w", err)
	}
	return nil
}

// Abandon removes an incomplete layout. After Finish it does nothing.
func (w *Writer) Abandon() { w.to.abandon() }

// entryOf returns the entry of an artifact under a name, "" for none.
func entryOf(s *registry.Source, name string) ocispec.Descriptor {
	is := s.Root.Descriptor
	d := ocispec.Descriptor{MediaType: is.MediaType, Digest: is.Digest, Size: is.Size}
	if name != "" {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: name, oci.ImageNameAnnotation: name}
	}
	return d
}

// putEntry adds an entry, in place of an entry that has the same key.
func (w *Writer) putEntry(d ocispec.Descriptor) error {
	at, there := w.named[keyOf(d)]
	switch {
	case there:
		w.index[at] = d
		return nil
	case len(w.index) == maxEntries:
		return fmt.Errorf("a layout has at most %d images and signatures: export the images of fewer namespaces", maxEntries)
	}
	w.appendEntry(d)
	return nil
}

// appendEntry adds an entry after the others.
func (w *Writer) appendEntry(d ocispec.Descriptor) {
	w.named[keyOf(d)] = len(w.index)
	w.index = append(w.index, d)
}

// keyOf returns the key of an entry: its full name, because many
// entries can have the same tag, or its digest if it has no name.
func keyOf(d ocispec.Descriptor) string { return cmp.Or(oci.ImageName(d), d.Digest.String()) }

// write writes the parts of an artifact that do not exist yet.
func (w *Writer) write(ctx context.Context, s *registry.Source, moved func(int64)) error {
	blobs, manifests := s.Parts()
	for _, d := range blobs {
		read, err := w.part(ctx, s, d)
		if err != nil {
			return err
		}
		if moved(d.Size); read {
			w.copied++
		}
	}
	for _, d := range manifests {
		if _, err := w.part(ctx, s, d); err != nil {
			return err
		}
		moved(d.Size)
	}
	return nil
}

// part writes a part if it does not exist, and reports whether it was read from its source.
func (w *Writer) part(ctx context.Context, s *registry.Source, d ocispec.Descriptor) (read bool, err error) {
	if w.done[d.Digest] {
		return false, ctx.Err()
	}
	there, err := w.to.has(ctx, d)
	if err == nil && !there {
		read, err = true, copyPart(ctx, w.to, d, func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) { return s.Open(ctx, d, w.Stall) })
	}
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", d.Digest, err)
	}
	w.done[d.Digest] = true
	return read, nil
}

// copyPart writes the part that open returns.
func copyPart(ctx context.Context, to sink, d ocispec.Descriptor, open func(context.Context, ocispec.Descriptor) (io.ReadCloser, error)) error {
	body, err := open(ctx, d)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	from := &stopping{stop: ctx.Err, from: body}
	err = to.put(d, from)
	if err != nil && from.failed == nil {
		err = fmt.Errorf("%w: %w", ErrWriting, err)
	}
	return err
}

// stopping is a reader that fails once stop returns an error, even if it reads a file.
type stopping struct {
	stop   func() error
	from   io.Reader
	failed error
}

// Read reads, and stores its error.
func (s *stopping) Read(p []byte) (n int, err error) {
	if err = s.stop(); err == nil {
		n, err = s.from.Read(p)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

// intact reports whether a part of the existing layout has its digest.
func intact(ctx context.Context, l *oci.Layout, d ocispec.Descriptor) (bool, error) {
	body, err := l.Blob(ctx, d)
	if err == nil {
		_, err = io.Copy(io.Discard, &stopping{stop: ctx.Err, from: body})
		_ = body.Close() // only read
	}
	return err == nil, ctx.Err()
}

// version returns the content of the file oci-layout.
func version() *bytes.Reader {
	return bytes.NewReader([]byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`))
}
