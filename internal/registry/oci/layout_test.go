package oci_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/clienttest"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// write writes a file and its folders.
func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// put writes a blob of a layout.
func put(t *testing.T, folder, mediaType string, data []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	write(t, blobFile(folder, d.Digest), data)
	return d
}

func putJSON(t *testing.T, folder, mediaType string, m any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return put(t, folder, mediaType, data)
}

// putImage writes an image of one layer, which may have a subject.
func putImage(t *testing.T, folder, seed string, subject *ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return putJSON(t, folder, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Subject: subject,
		Config: put(t, folder, ocispec.MediaTypeImageConfig, []byte(`{"author":"`+seed+`"}`)),
		Layers: []ocispec.Descriptor{put(t, folder, ocispec.MediaTypeImageLayer, []byte("layer of "+seed))},
	})
}

// putIndex makes a folder a layout with these entries.
func putIndex(t *testing.T, folder string, entries ...ocispec.Descriptor) {
	t.Helper()
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: entries})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, ocispec.ImageIndexFile), index)
	write(t, filepath.Join(folder, ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// named returns an entry of a layout with a name.
func named(d ocispec.Descriptor, name string) ocispec.Descriptor {
	d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	return d
}

// writeLayout writes a layout with an index of two platforms, and returns the folder and its digest.
func writeLayout(t *testing.T) (string, ocispec.Descriptor) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "app")
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, architecture := range []string{"amd64", "arm64"} {
		d := putImage(t, folder, architecture, nil)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		index.Manifests = append(index.Manifests, d)
	}
	d := putJSON(t, folder, ocispec.MediaTypeImageIndex, index)
	putIndex(t, folder, named(d, "1.0.0"))
	return folder, d
}

var (
	blobFile   = clienttest.BlobFile
	openLayout = clienttest.OpenLayout
)

func TestLayout(t *testing.T) {
	t.Parallel()
	folder, want := writeLayout(t)
	for _, archive := range []bool{false, true} {
		s, err := openLayout(t, folder, archive)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Root.Descriptor; got.Digest != want.Digest || got.MediaType != want.MediaType || len(s.Root.Children) != 2 {
			t.Errorf("archive %t: the root is %+v, want %+v", archive, got, want)
		}
		if s.Size <= want.Size {
			t.Errorf("archive %t: the size is %d, which the index alone nearly has (%d)", archive, s.Size, want.Size)
		}
	}
}

func TestHostileLayouts(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, file, text string) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(file), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	index := func(descriptors string) string { return `{"schemaVersion": 2, "manifests": [` + descriptors + `]}` }
	described := func(mediaType, d, size string) string {
		return `{"mediaType": "` + mediaType + `", "digest": "` + d + `", "size": ` + size + `}`
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("a secret of this machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := digest.FromString("a secret of this machine")
	link := func(t *testing.T, to, from string) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(from), os.Symlink(to, from)); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		reason string
		spoil  func(t *testing.T, folder string, root digest.Digest)
		want   error
		folder bool // an archive cannot have this fault
	}{
		"NoIndex":   {"a folder that is not a layout", func(_ *testing.T, f string, _ digest.Digest) { _ = os.Remove(f + "/index.json") }, failure.ErrUnreadable, false},
		"NoVersion": {"nor this", func(t *testing.T, f string, _ digest.Digest) { write(t, f+"/oci-layout", "{}") }, failure.ErrUnreadable, false},
		"NoJSON":    {"an index that is not one", func(t *testing.T, f string, _ digest.Digest) { write(t, f+"/index.json", "[") }, failure.ErrUnreadable, false},
		"HugeIndex": {"it would fill the memory", func(t *testing.T, f string, _ digest.Digest) { write(t, f+"/index.json", strings.Repeat(" ", 4<<20+1)) }, failure.ErrUnreadable, false},
		"Traversal": {"a digest that climbs out", func(t *testing.T, f string, _ digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, "sha256:../../../../outside", "24")))
		}, failure.ErrUnreadable, false},
		"Algorithm": {"an algorithm that does", func(t *testing.T, f string, _ digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, "../..:outside", "24")))
		}, failure.ErrUnreadable, false},
		"HugeSize": {"it is not read to its end", func(t *testing.T, f string, d digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, d.String(), "4611686018427387904")))
		}, failure.ErrUnreadable, false},
		"ManyImages": {"each would take 50 times its bytes", func(t *testing.T, f string, _ digest.Digest) {
			write(t, f+"/index.json", index(strings.Repeat("{},", 1<<20)+"{}"))
		}, failure.ErrUnreadable, false},
		"NegativeOne": {"no size", func(t *testing.T, f string, d digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, d.String(), "-1")))
		}, failure.ErrUnreadable, false},
		"MediaType": {"nothing that a tag can be at", func(t *testing.T, f string, d digest.Digest) {
			write(t, f+"/index.json", index(described("text/html", d.String(), "1")))
		}, failure.ErrUnreadable, false},
		"Changed": {"other bytes of the same length", func(t *testing.T, f string, d digest.Digest) {
			data, _ := os.ReadFile(blobFile(f, d))
			write(t, blobFile(f, d), strings.Replace(string(data), "amd64", "amd46", 1))
		}, failure.ErrUnreadable, false},
		"Gone":        {"half a layout", func(_ *testing.T, f string, d digest.Digest) { _ = os.Remove(blobFile(f, d)) }, failure.ErrNotFound, false},
		"LinkedIndex": {"a link out of the layout", func(t *testing.T, f string, _ digest.Digest) { link(t, outside, f+"/index.json") }, failure.ErrUnreadable, true},
		"LinkedBlob": {"the secret would be published", func(t *testing.T, f string, _ digest.Digest) {
			link(t, outside, blobFile(f, secret))
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageManifest, secret.String(), "24")))
		}, failure.ErrUnreadable, true},
		"Pipe": {"reading it would never end", func(t *testing.T, f string, _ digest.Digest) {
			if err := errors.Join(os.Remove(f+"/index.json"), syscall.Mkfifo(f+"/index.json", 0o600)); err != nil {
				t.Fatal(err)
			}
		}, failure.ErrUnreadable, true},
		"PipedBlob": {"nor would this", func(t *testing.T, f string, d digest.Digest) {
			if err := errors.Join(os.Remove(blobFile(f, d)), syscall.Mkfifo(blobFile(f, d), 0o600)); err != nil {
				t.Fatal(err)
			}
		}, failure.ErrUnreadable, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, d := writeLayout(t)
			tc.spoil(t, folder, d.Digest)
			for _, archive := range []bool{false, true} {
				if archive && tc.folder {
					continue
				}
				if _, err := openLayout(t, folder, archive); !errors.Is(err, tc.want) {
					t.Errorf("%s: archive %t: %v, want %v", tc.reason, archive, err, tc.want)
				}
			}
		})
	}
}

func TestLayoutArchiveIsATar(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "layout.tar")
	if err := os.WriteFile(file, []byte(strings.Repeat("no tar", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := oci.OpenLayoutArchive(file); !errors.Is(err, failure.ErrUnreadable) {
		t.Errorf("%v, want ErrUnreadable", err)
	}
}

func TestWhatIsNoLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, empty, archive := filepath.Join(dir, "pipe"), filepath.Join(dir, "empty"), filepath.Join(dir, "empty.tar")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Mkdir(empty, 0o700), registrytest.PackLayout(empty, archive)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		reason, path string
		open         func(string) (*oci.Layout, error)
		says         string
	}{
		{"a folder of something else", empty, oci.OpenLayout, "it is not an OCI image layout, for it has no file oci-layout"},
		{"an archive of something else", archive, oci.OpenLayoutArchive, "it is not an OCI image layout, for it has no file oci-layout"},
		{"opening it would wait forever", pipe, oci.OpenLayoutArchive, "not a regular file"},
		{"a folder where an archive should be", empty, oci.OpenLayoutArchive, "not a regular file"},
		{"a device", os.DevNull, oci.OpenLayoutArchive, "not a regular file"},
	} {
		_, err := tc.open(tc.path)
		if !errors.Is(err, failure.ErrUnreadable) || !strings.Contains(err.Error(), tc.says) || strings.Count(err.Error(), tc.path) != 1 {
			t.Errorf("%s: %v, want ErrUnreadable, the path once and %q", tc.reason, err, tc.says)
		}
	}
}
