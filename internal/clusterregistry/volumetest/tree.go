package volumetest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// Tree is a volume that a test fills in the way that distribution would.
type Tree struct {
	T testing.TB
	*volume.Volume
}

// New creates a volume for a test.
func New(t testing.TB, o volume.Options) *Tree {
	t.Helper()
	v, err := volume.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &Tree{T: t, Volume: v}
}

// Small mounts a tmpfs with the given mount options, such as a size,
// for one test. It skips the test if the process may not mount.
func Small(t testing.TB, options string) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, options); err != nil {
		t.Skip("a file system of a fixed size needs the right to mount one: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

// Put writes a file and returns its path.
func (x *Tree) Put(file, content string) string {
	x.T.Helper()
	if err := x.Write(file, []byte(content), true); err != nil {
		x.T.Fatal(err)
	}
	return file
}

// Blob writes a blob.
func (x *Tree) Blob(content string) digest.Digest {
	x.T.Helper()
	d := digest.FromString(content)
	x.Put(layout.BlobPath(d), content)
	return d
}

// Layer writes a blob and its layer link.
func (x *Tree) Layer(repository, content string) ocispec.Descriptor {
	x.T.Helper()
	d := x.Blob(content)
	x.Put(layout.LayerPath(repository, d), d.String())
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(content))}
}

// Image writes an image with one layer of the given content. tag and subject may be "".
func (x *Tree) Image(repository, tag, content string, subject digest.Digest) digest.Digest {
	x.T.Helper()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: x.Layer(repository, "config of "+content), Layers: []ocispec.Descriptor{x.Layer(repository, content)},
	}
	if subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
	}
	return x.Manifest(repository, tag, m)
}

// Index writes an index of the given manifests. tag may be "".
func (x *Tree) Index(repository, tag string, children ...digest.Digest) digest.Digest {
	x.T.Helper()
	m := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, d := range children {
		m.Manifests = append(m.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1})
	}
	return x.Manifest(repository, tag, m)
}

// Manifest writes a manifest of any form. tag may be "".
func (x *Tree) Manifest(repository, tag string, m any) digest.Digest {
	x.T.Helper()
	content, err := json.Marshal(m)
	if err != nil {
		x.T.Fatal(err)
	}
	d := x.Blob(string(content))
	x.Put(layout.RevisionPath(repository, d), d.String())
	if tag != "" {
		x.Tag(repository, tag, d)
	}
	return d
}

// Tag writes a tag and its history entry.
func (x *Tree) Tag(repository, tag string, d digest.Digest) {
	x.T.Helper()
	x.Put(path.Join(layout.TagHistoryOf(repository, tag), "sha256", d.Encoded(), "link"), d.String())
	x.Put(layout.TagPath(repository, tag), d.String())
}

// Files returns the paths that Image wrote for an image of the given content.
func (x *Tree) Files(repository, content string, d digest.Digest) []string {
	layer, config := digest.FromString(content), digest.FromString("config of "+content)
	return []string{
		layout.RevisionPath(repository, d), layout.BlobPath(d), layout.LayerPath(repository, layer), layout.BlobPath(layer),
		layout.LayerPath(repository, config), layout.BlobPath(config),
	}
}

// Age makes everything two days old.
func (x *Tree) Age() {
	x.T.Helper()
	old := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(x.Root(), func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(name, old, old))
	})
	if err != nil {
		x.T.Fatal(err)
	}
}

// AgeFiles makes files two days old, except one.
func (x *Tree) AgeFiles(files []string, except string) {
	old := time.Now().Add(-48 * time.Hour)
	for _, f := range files {
		if f == except {
			continue
		}
		if err := os.Chtimes(filepath.Join(x.Root(), f), old, old); err != nil {
			x.T.Fatal(err)
		}
	}
}

// Has reports whether a file or folder exists at a path.
func (x *Tree) Has(file string) bool {
	_, err := os.Lstat(filepath.Join(x.Root(), file))
	return err == nil
}

// Delete deletes a file or an empty folder.
func (x *Tree) Delete(file string) {
	x.T.Helper()
	if err := os.Remove(filepath.Join(x.Root(), file)); err != nil {
		x.T.Fatal(err)
	}
}

// All returns the files of the volume, in order.
func (x *Tree) All() (files []string) {
	x.T.Helper()
	err := filepath.WalkDir(x.Root(), func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(name, x.Root()))
		}
		return err
	})
	if err != nil {
		x.T.Fatal(err)
	}
	return files
}

// Empty returns the folders of the tree that contain nothing.
func (x *Tree) Empty() (folders []string) {
	x.T.Helper()
	err := filepath.WalkDir(filepath.Join(x.Root(), layout.Root), func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		entries, err := os.ReadDir(name)
		if len(entries) == 0 {
			folders = append(folders, strings.TrimPrefix(name, x.Root()))
		}
		return err
	})
	if err != nil {
		x.T.Fatal(err)
	}
	return folders
}

// Same fails the test if the files have changed since All returned them.
func (x *Tree) Same(reason string, before []string) {
	x.T.Helper()
	if diff := cmp.Diff(before, x.All()); diff != "" {
		x.T.Errorf("%s: the files have changed: %s", reason, diff)
	}
}

// Must fails the test for each file that is lost, each file that should be deleted and is not, and a file in the trash.
func (x *Tree) Must(reason string, kept, gone []string) {
	x.T.Helper()
	for _, file := range kept {
		if !x.Has(file) {
			x.T.Errorf("%s: lost %s", reason, file)
		}
	}
	for _, file := range gone {
		if x.Has(file) {
			x.T.Errorf("%s: still has %s", reason, file)
		}
	}
	if i := slices.IndexFunc(x.All(), func(f string) bool { return strings.HasPrefix(f, "/.nfo/trash/") }); i >= 0 {
		x.T.Errorf("%s: the trash still has %s", reason, x.All()[i])
	}
}
