package collect

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

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// quick are options under which everything but what was written just now is a candidate at once.
var quick = Options{Grace: time.Hour, Dwell: time.Millisecond}

// tree is a volume that a test fills as distribution would.
type tree struct {
	t testing.TB
	*volume.Volume
}

func newTree(t testing.TB, o volume.Options) *tree {
	t.Helper()
	v, err := volume.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &tree{t: t, Volume: v}
}

func (x *tree) write(file, content string) string {
	x.t.Helper()
	if err := x.Write(file, []byte(content), true); err != nil {
		x.t.Fatal(err)
	}
	return file
}

func (x *tree) blob(content string) digest.Digest {
	x.t.Helper()
	d := digest.FromString(content)
	x.write(layout.BlobPath(d), content)
	return d
}

// layer writes a blob and the link to it.
func (x *tree) layer(repository, content string) ocispec.Descriptor {
	x.t.Helper()
	d := x.blob(content)
	x.write(layout.LayerPath(repository, d), d.String())
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(content))}
}

// image writes an image with one layer of the given content. Its tag and subject may be "".
func (x *tree) image(repository, tag, content string, subject digest.Digest) digest.Digest {
	x.t.Helper()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: x.layer(repository, "config of "+content), Layers: []ocispec.Descriptor{x.layer(repository, content)},
	}
	if subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
	}
	return x.manifest(repository, tag, m)
}

func (x *tree) index(repository, tag string, children ...digest.Digest) digest.Digest {
	x.t.Helper()
	m := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, d := range children {
		m.Manifests = append(m.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1})
	}
	return x.manifest(repository, tag, m)
}

func (x *tree) manifest(repository, tag string, m any) digest.Digest {
	x.t.Helper()
	content, err := json.Marshal(m)
	if err != nil {
		x.t.Fatal(err)
	}
	d := x.blob(string(content))
	x.write(layout.RevisionPath(repository, d), d.String())
	if tag != "" {
		x.tag(repository, tag, d)
	}
	return d
}

func (x *tree) tag(repository, tag string, d digest.Digest) {
	x.t.Helper()
	x.write(path.Join(layout.TagHistoryOf(repository, tag), "sha256", d.Encoded(), "link"), d.String())
	x.write(layout.TagPath(repository, tag), d.String())
}

// files are what belongs to an image that image has written.
func (x *tree) files(repository, content string, d digest.Digest) []string {
	layer, config := digest.FromString(content), digest.FromString("config of "+content)
	return []string{
		layout.RevisionPath(repository, d), layout.BlobPath(d), layout.LayerPath(repository, layer), layout.BlobPath(layer),
		layout.LayerPath(repository, config), layout.BlobPath(config),
	}
}

// age makes everything two days old.
func (x *tree) age() {
	x.t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(x.Root(), func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(name, old, old))
	})
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *tree) has(file string) bool {
	_, err := os.Lstat(filepath.Join(x.Root(), file))
	return err == nil
}

func (x *tree) remove(file string) {
	x.t.Helper()
	if err := os.Remove(filepath.Join(x.Root(), file)); err != nil {
		x.t.Fatal(err)
	}
}

// all are the files of the volume, in order.
func (x *tree) all() (files []string) {
	x.t.Helper()
	err := filepath.WalkDir(x.Root(), func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(name, x.Root()))
		}
		return err
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return files
}

// empty are the folders of the tree that have nothing in them.
func (x *tree) empty() (folders []string) {
	x.t.Helper()
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
		x.t.Fatal(err)
	}
	return folders
}

func (x *tree) collect(o Options) Report {
	x.t.Helper()
	r, err := Run(x.t.Context(), x.Volume, o)
	if err != nil {
		x.t.Fatal(err)
	}
	return r
}

// same reports what has changed since all returned the files.
func (x *tree) same(reason string, before []string) {
	x.t.Helper()
	if diff := cmp.Diff(before, x.all()); diff != "" {
		x.t.Errorf("%s: the files have changed: %s", reason, diff)
	}
}

func (x *tree) must(reason string, kept, gone []string) {
	x.t.Helper()
	for _, file := range kept {
		if !x.has(file) {
			x.t.Errorf("%s: lost %s", reason, file)
		}
	}
	for _, file := range gone {
		if x.has(file) {
			x.t.Errorf("%s: still has %s", reason, file)
		}
	}
	if i := slices.IndexFunc(x.all(), func(f string) bool { return strings.HasPrefix(f, "/.nfo/trash/") }); i >= 0 {
		x.t.Errorf("%s: the trash still has %s", reason, x.all()[i])
	}
}
