package registry_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// writeLayout writes a layout with an index of two platforms, and returns the folder and its digest.
func writeLayout(t *testing.T) (string, ocispec.Descriptor) {
	t.Helper()
	r := registrytest.Start(t)
	d, err := registrytest.PushIndex(t.Context(), r.Host, "app", "1.0.0", []string{"linux/amd64", "linux/arm64"}, "layout")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "app")
	if err := registrytest.WriteLayout(t.Context(), r.Host, "app", "1.0.0", folder, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	return folder, d
}

func blobFile(folder string, d digest.Digest) string {
	return filepath.Join(folder, "blobs", d.Algorithm().String(), d.Encoded())
}

// openLayout reads the first image of a folder, or of an archive of it.
func openLayout(t *testing.T, folder string, archive bool) (*registry.Source, error) {
	t.Helper()
	open, path := oci.OpenLayout, folder
	if archive {
		open, path = oci.OpenLayoutArchive, folder+".tar"
		if err := registrytest.PackLayout(folder, path); err != nil {
			t.Fatal(err)
		}
	}
	l, err := open(path)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = l.Close() })
	if len(l.Images) == 0 {
		t.Fatal("the layout has no image")
	}
	return l.Source(t.Context(), l.Images[0])
}

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
		folder bool // an archive has no such thing
	}{
		"NoIndex":   {"a folder that is not a layout", func(_ *testing.T, f string, _ digest.Digest) { _ = os.Remove(f + "/index.json") }, registry.ErrUnreadable, false},
		"NoVersion": {"nor this", func(t *testing.T, f string, _ digest.Digest) { write(t, f+"/oci-layout", "{}") }, registry.ErrUnreadable, false},
		"NoJSON":    {"an index that is not one", func(t *testing.T, f string, _ digest.Digest) { write(t, f+"/index.json", "[") }, registry.ErrUnreadable, false},
		"HugeIndex": {"it would fill the memory", func(t *testing.T, f string, _ digest.Digest) { write(t, f+"/index.json", strings.Repeat(" ", 4<<20+1)) }, registry.ErrUnreadable, false},
		"Traversal": {"a digest that climbs out", func(t *testing.T, f string, _ digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, "sha256:../../../../outside", "24")))
		}, registry.ErrUnreadable, false},
		"Algorithm": {"an algorithm that does", func(t *testing.T, f string, _ digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, "../..:outside", "24")))
		}, registry.ErrUnreadable, false},
		"HugeSize": {"it is not read to its end", func(t *testing.T, f string, d digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, d.String(), "4611686018427387904")))
		}, registry.ErrUnreadable, false},
		"ManyImages": {"each would take 50 times its bytes", func(t *testing.T, f string, _ digest.Digest) {
			write(t, f+"/index.json", index(strings.Repeat("{},", 1<<20)+"{}"))
		}, registry.ErrUnreadable, false},
		"NegativeOne": {"no size", func(t *testing.T, f string, d digest.Digest) {
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageIndex, d.String(), "-1")))
		}, registry.ErrUnreadable, false},
		"MediaType": {"nothing that a tag can be at", func(t *testing.T, f string, d digest.Digest) {
			write(t, f+"/index.json", index(described("text/html", d.String(), "1")))
		}, registry.ErrUnreadable, false},
		"Changed": {"other bytes of the same length", func(t *testing.T, f string, d digest.Digest) {
			data, _ := os.ReadFile(blobFile(f, d))
			write(t, blobFile(f, d), strings.Replace(string(data), "amd64", "amd46", 1))
		}, registry.ErrUnreadable, false},
		"Gone":        {"half a layout", func(_ *testing.T, f string, d digest.Digest) { _ = os.Remove(blobFile(f, d)) }, registry.ErrNotFound, false},
		"LinkedIndex": {"a link out of the layout", func(t *testing.T, f string, _ digest.Digest) { link(t, outside, f+"/index.json") }, registry.ErrUnreadable, true},
		"LinkedBlob": {"the secret would be published", func(t *testing.T, f string, _ digest.Digest) {
			link(t, outside, blobFile(f, secret))
			write(t, f+"/index.json", index(described(ocispec.MediaTypeImageManifest, secret.String(), "24")))
		}, registry.ErrUnreadable, true},
		"Pipe": {"reading it would never end", func(t *testing.T, f string, _ digest.Digest) {
			if err := errors.Join(os.Remove(f+"/index.json"), syscall.Mkfifo(f+"/index.json", 0o600)); err != nil {
				t.Fatal(err)
			}
		}, registry.ErrUnreadable, true},
		"PipedBlob": {"nor would this", func(t *testing.T, f string, d digest.Digest) {
			if err := errors.Join(os.Remove(blobFile(f, d)), syscall.Mkfifo(blobFile(f, d), 0o600)); err != nil {
				t.Fatal(err)
			}
		}, registry.ErrUnreadable, true},
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
	if _, err := oci.OpenLayoutArchive(file); !errors.Is(err, registry.ErrUnreadable) {
		t.Errorf("%v, want ErrUnreadable", err)
	}
}

// The registry would refuse the blob too, in words that sound as if the login lacked a right.
func TestCopyOfADamagedLayout(t *testing.T) {
	t.Parallel()
	folder, want := writeLayout(t)
	s, err := openLayout(t, folder, false)
	if err != nil {
		t.Fatal(err)
	}
	amd64 := s.Root.Children[0].Digest
	var m ocispec.Manifest
	data, err := os.ReadFile(folder + "/blobs/sha256/" + amd64.Encoded())
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil || len(m.Layers) == 0 {
		t.Fatalf("%s has no layers: %v", want.Digest, err)
	}
	layer := folder + "/blobs/sha256/" + m.Layers[0].Digest.Encoded()
	blob, err := os.ReadFile(layer)
	if err != nil {
		t.Fatal(err)
	}
	blob[len(blob)/2] ^= 1
	if err := errors.Join(os.Chmod(layer, 0o600), os.WriteFile(layer, blob, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, c := start(t)
	err = c.Copy(t.Context(), "acme/app", s, unwatched)
	if !errors.Is(err, registry.ErrUnreadable) || !strings.Contains(err.Error(), m.Layers[0].Digest.String()) || !strings.Contains(err.Error(), "do not have this digest") {
		t.Errorf("a blob with a flipped bit: %v", err)
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
		if !errors.Is(err, registry.ErrUnreadable) || !strings.Contains(err.Error(), tc.says) || strings.Count(err.Error(), tc.path) != 1 {
			t.Errorf("%s: %v, want ErrUnreadable, the path once and %q", tc.reason, err, tc.says)
		}
	}
}
