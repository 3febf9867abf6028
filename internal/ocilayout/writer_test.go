package ocilayout_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/ocilayout"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const (
	upf = "r.example/acme/upf:1"
	amf = "r.example/acme/amf:1"
)

func unwatched(int64) {}

// mirror starts a registry with a signed index of two platforms that has an SBOM, and with an image.
func mirror(t *testing.T) (*registrytest.Registry, *registry.Client) {
	t.Helper()
	r := registrytest.Start(t)
	d, err := registrytest.PushIndex(t.Context(), r.Host, "acme/upf", "1", []string{"linux/amd64", "linux/arm64"}, "upf")
	if err == nil {
		_, err = registrytest.PushImage(t.Context(), r.Host, "acme/upf", "sha256-"+d.Digest.Encoded()+".sig", "signature")
	}
	if err == nil {
		_, err = registrytest.PushReferrer(t.Context(), r.Host, "acme/upf", d, "application/spdx+json", []byte("sbom"))
	}
	if err == nil {
		_, err = registrytest.PushImage(t.Context(), r.Host, "acme/amf", "1", "amf")
	}
	var c *registry.Client
	if err == nil {
		c, err = registry.Open(registry.Config{Location: r.Location("")})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return r, c
}

// image reads an image and its satellites from the registry.
func image(t *testing.T, c *registry.Client, name string) ocilayout.Image {
	t.Helper()
	repository := strings.TrimSuffix(name, ":1")
	i := ocilayout.Image{Name: name, Repository: repository}
	var err error
	if i.Source, err = c.Source(t.Context(), strings.TrimPrefix(repository, "r.example/"), "1"); err == nil {
		i.Satellites, err = c.Satellites(t.Context(), strings.TrimPrefix(repository, "r.example/"), i.Source)
	}
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// create begins a layout, and abandons it at the end of the test if it is incomplete.
func create(t *testing.T, name string, archive bool) *ocilayout.Writer {
	t.Helper()
	w, err := ocilayout.Create(name, archive)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Abandon)
	return w
}

// write writes images into a layout, and returns how many blobs were read from the registry.
func write(t *testing.T, name string, archive bool, images ...ocilayout.Image) (copied int, err error) {
	t.Helper()
	w, err := ocilayout.Create(name, archive)
	if err != nil {
		return 0, err
	}
	defer w.Abandon()
	for _, i := range images {
		if err := w.Add(t.Context(), i, unwatched); err != nil {
			return 0, err
		}
	}
	return w.Copied(), w.Finish()
}

func open(t *testing.T, name string, archive bool) *oci.Layout {
	t.Helper()
	from := oci.OpenLayout
	if archive {
		from = oci.OpenLayoutArchive
	}
	l, err := from(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// named returns the digest of the image with a full name, and the number of its satellites.
func named(t *testing.T, l *oci.Layout, name string) (digest string, satellites int) {
	t.Helper()
	for _, d := range l.Images {
		if d.Annotations[oci.ImageNameAnnotation] != name || d.Annotations[ocispec.AnnotationRefName] != name {
			continue
		}
		s, err := l.Source(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		all, err := l.Satellites(t.Context(), d, s)
		if err != nil {
			t.Fatal(err)
		}
		return d.Digest.String(), len(all)
	}
	return "", 0
}

func blobs(r *registrytest.Registry) int {
	return r.Count(func(req *http.Request) bool {
		return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
	})
}

// breaks sends the beginning of a blob and then breaks the connection.
func breaks(w http.ResponseWriter, req *http.Request) bool {
	if !strings.Contains(req.URL.Path, "/blobs/") {
		return false
	}
	_, _ = w.Write([]byte("{"))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// files returns the files of a folder except the blobs, and the number of blobs.
func files(t *testing.T, folder string) (names []string, blobs int) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case strings.HasPrefix(path, "blobs/"):
			blobs++
		default:
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, blobs
}

func forms(t *testing.T, do func(t *testing.T, name string, archive bool)) {
	t.Helper()
	for form, archive := range map[string]bool{"Folder": false, "Archive": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			do(t, filepath.Join(t.TempDir(), "site.tar"), archive)
		})
	}
}

// The layout must contain everything of an image unchanged,
// and a second run must not read it from the registry again.
func TestAllOfAnImageIsInTheLayout(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, name string, archive bool) {
		r, c := mirror(t)
		i := image(t, c, upf)
		w := create(t, name, archive)
		size, moved := i.Source.Size, int64(0)
		for _, s := range i.Satellites {
			size += s.Source.Size
		}
		if err := w.Add(t.Context(), i, func(n int64) { moved += n }); err != nil || moved != size {
			t.Fatalf("%v; %d bytes were reported, want %d", err, moved, size)
		}
		if err := errors.Join(w.Add(t.Context(), image(t, c, amf), unwatched), w.Finish()); err != nil {
			t.Fatal(err)
		}
		w.Abandon()
		l := open(t, name, archive)
		if d, n := named(t, l, upf); d != i.Source.Root.Descriptor.Digest.String() || n != 2 {
			t.Errorf("the layout has %q with %d satellites, want %s with 2", d, n, i.Source.Root.Descriptor.Digest)
		}
		if d, _ := named(t, l, amf); d == "" {
			t.Error("the layout lacks the other image")
		}
		r.Forget()
		copied, err := write(t, name, archive, image(t, c, upf), image(t, c, amf))
		if err != nil || copied != 0 || blobs(r) != 0 {
			t.Errorf("%v; the second run has read %d blobs, and asked for %d, want none", err, copied, blobs(r))
		}
	})
}

// An archive contains only the images of the last run, a folder also the images it had before.
func TestWhatIsThereBefore(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, name string, archive bool) {
		_, c := mirror(t)
		for _, image := range []ocilayout.Image{image(t, c, amf), image(t, c, upf)} {
			if _, err := write(t, name, archive, image); err != nil {
				t.Fatal(err)
			}
		}
		l := open(t, name, archive)
		if d, _ := named(t, l, amf); (d == "") != archive {
			t.Errorf("the first image is %q", d)
		}
		if d, n := named(t, l, upf); d == "" || n != 2 {
			t.Errorf("the second image is %q with %d satellites", d, n)
		}
	})
}

// A folder keeps images of other programs that write the bare tag in addition to
// the full name, as docker does, and replaces the image with the same full name.
func TestAFolderKeepsOtherNames(t *testing.T) {
	t.Parallel()
	_, c := mirror(t)
	folder := filepath.Join(t.TempDir(), "site")
	one, other, amf := "docker.io/acme/one:latest", "docker.io/acme/other:latest", image(t, c, amf)
	for _, name := range []string{one, other} {
		amf.Name = name
		if _, err := write(t, folder, false, amf); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(folder, "index.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{one, other} {
		text = bytes.ReplaceAll(text, []byte(`"org.opencontainers.image.ref.name":"`+name), []byte(`"org.opencontainers.image.ref.name":"latest`))
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	upf := image(t, c, upf)
	upf.Name = one
	if _, err := write(t, folder, false, upf); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range open(t, folder, false).Images {
		if name := oci.ImageName(d); name == one || name == other {
			got[name] += d.Digest.String()
		}
	}
	want := map[string]string{one: upf.Source.Root.Descriptor.Digest.String(), other: amf.Source.Root.Descriptor.Digest.String()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the folder has (-want +got):\n%s", diff)
	}
}

// A run that ends early must leave the previous content, and the next run must continue from there.
func TestARunThatEndsEarly(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, name string, archive bool) {
		r, c := mirror(t)
		first, second := image(t, c, amf), image(t, c, upf)
		if _, err := write(t, name, archive, first); err != nil {
			t.Fatal(err)
		}
		r.Forget()
		r.Intercept(func(w http.ResponseWriter, req *http.Request) bool { return blobs(r) > 3 && breaks(w, req) })
		if _, err := write(t, name, archive, first, second); !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, ocilayout.ErrWriting) {
			t.Fatalf("%v, want %v", err, registry.ErrUnavailable)
		}
		l := open(t, name, archive)
		if d, _ := named(t, l, amf); d == "" {
			t.Error("what was there has gone")
		}
		if d, _ := named(t, l, upf); d != "" {
			t.Error("an image that is not whole is listed")
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".part-*")); len(left) > 0 {
			t.Errorf("%v is left over", left)
		}
		r.Intercept(nil)
		if _, err := write(t, name, archive, first, second); err != nil {
			t.Fatal(err)
		}
		if d, n := named(t, open(t, name, archive), upf); d == "" || n != 2 {
			t.Errorf("it is %q with %d satellites", d, n)
		}
	})
}

// In one run, a part that an error has left incomplete must be written again.
func TestAddIsCalledAgain(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, name string, archive bool) {
		r, c := mirror(t)
		i := image(t, c, amf)
		w := create(t, name, archive)
		r.Intercept(breaks)
		if err := w.Add(t.Context(), i, unwatched); !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, ocilayout.ErrWriting) {
			t.Fatalf("%v, want %v", err, registry.ErrUnavailable)
		}
		r.Intercept(nil)
		if err := errors.Join(w.Add(t.Context(), i, unwatched), w.Finish()); err != nil {
			t.Fatal(err)
		}
		if d, _ := named(t, open(t, name, archive), amf); d == "" {
			t.Error("the image is not in the layout")
		}
	})
}

// If a source stops sending, the run must end with an error that the source does not answer.
func TestASourceThatStopsSending(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, name string, archive bool) {
		r, c := mirror(t)
		i := image(t, c, amf)
		w := create(t, name, archive)
		w.Stall = 200 * time.Millisecond
		r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.Contains(req.URL.Path, "/blobs/") {
				return false
			}
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
			return true
		})
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		if err := w.Add(ctx, i, unwatched); !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, ocilayout.ErrWriting) || ctx.Err() != nil {
			t.Errorf("%v, want %v", err, registry.ErrUnavailable)
		}
	})
}

func TestAFolderGoesOn(t *testing.T) {
	t.Parallel()
	r, c := mirror(t)
	name := filepath.Join(t.TempDir(), "new", "site")
	w, err := ocilayout.Create(name, false)
	if err == nil {
		err = w.Add(t.Context(), image(t, c, upf), unwatched)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := w.Copied()
	w.Abandon()
	r.Forget()
	copied, err := write(t, name, false, image(t, c, upf), image(t, c, amf))
	if err != nil || first == 0 || copied == 0 || copied >= first {
		t.Errorf("%v; %d blobs were read, and then %d", err, first, copied)
	}
	if names, _ := files(t, name); !cmp.Equal(names, []string{"index.json", "oci-layout"}) {
		t.Errorf("the folder has %v", names)
	}
}

// A damaged part must be written again.
func TestADamagedBlobIsReplaced(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, name string, archive bool) {
		_, c := mirror(t)
		i := image(t, c, amf)
		if _, err := write(t, name, archive, i); err != nil {
			t.Fatal(err)
		}
		parts, _ := i.Source.Parts()
		layer := parts[len(parts)-1]
		if archive {
			spoil(t, name, layer.Digest.Encoded())
		} else {
			file := filepath.Join(name, "blobs", "sha256", layer.Digest.Encoded())
			if err := os.WriteFile(file, make([]byte, layer.Size), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if copied, err := write(t, name, archive, i); err != nil || copied != 1 {
			t.Fatalf("%v; %d blobs were read, want 1", err, copied)
		}
		body, err := open(t, name, archive).Blob(t.Context(), layer)
		if err == nil {
			_, err = io.Copy(io.Discard, body)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// spoil changes the last byte of an entry of an archive.
func spoil(t *testing.T, name, entry string) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(h.Name) == entry {
			at, err := file.Seek(0, io.SeekCurrent)
			if err == nil {
				_, err = file.WriteAt([]byte{0}, at)
			}
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestWhatIsNotALayoutStays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		archive bool
		make    func(name string) error
	}{
		"File":        {"somebody's file", true, func(name string) error { return os.WriteFile(name, []byte("mine"), 0o600) }},
		"FolderAsTar": {"a folder", true, func(name string) error { return os.Mkdir(name, 0o700) }},
		"Folder": {"somebody's folder", false, func(name string) error {
			return errors.Join(os.Mkdir(name, 0o700), os.WriteFile(filepath.Join(name, "mine"), nil, 0o600))
		}},
		"OtherIndex": {"an index.json of something else", false, func(name string) error {
			return errors.Join(os.Mkdir(name, 0o700), os.WriteFile(filepath.Join(name, "index.json"), []byte("{}"), 0o600))
		}},
		"HugeIndex": {"nobody writes such a one", false, func(name string) error {
			return errors.Join(os.Mkdir(name, 0o700), os.WriteFile(filepath.Join(name, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600),
				os.WriteFile(filepath.Join(name, "index.json"), make([]byte, registry.MaxManifestBytes+1), 0o600))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := filepath.Join(t.TempDir(), "site")
			if err := tc.make(at); err != nil {
				t.Fatal(err)
			}
			w, err := ocilayout.Create(at, tc.archive)
			if w != nil {
				w.Abandon()
			}
			if !errors.Is(err, ocilayout.ErrNotLayout) {
				t.Errorf("%s: %v, want %v", tc.reason, err, ocilayout.ErrNotLayout)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(at), ".part-*")); len(left) > 0 {
				t.Errorf("%v is left over", left)
			}
		})
	}
}

// Links that others have made in a folder must not lead out of it.
func TestNothingIsWrittenOutsideOfAFolder(t *testing.T) {
	t.Parallel()
	_, c := mirror(t)
	i := image(t, c, amf)
	blob, _ := i.Source.Parts()
	for name, link := range map[string]string{"Blobs": "blobs", "Algorithm": "blobs/sha256", "Blob": "blobs/sha256/" + blob[0].Digest.Encoded(), "Index": "index.json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, outside := filepath.Join(t.TempDir(), "site"), t.TempDir()
			at := filepath.Join(folder, link)
			target := filepath.Join(outside, filepath.Base(link))
			err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(filepath.Join(folder, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
			if name == "Blobs" || name == "Algorithm" {
				target = outside
			}
			if err := errors.Join(err, os.Symlink(target, at)); err != nil {
				t.Fatal(err)
			}
			_, err = write(t, folder, false, i)
			if name == "Blob" { // only the link is replaced
				if err != nil {
					t.Error(err)
				}
			} else if err == nil {
				t.Error("want an error")
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
				t.Errorf("%v, %v was written outside", err, left)
			}
		})
	}
}

// A full disk, or another reason why a file cannot be written, must not count as an error of the source.
func TestWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	_, c := mirror(t)
	folder := filepath.Join(t.TempDir(), "site")
	err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600),
		os.WriteFile(filepath.Join(folder, "blobs"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(t, folder, false, image(t, c, amf)); !errors.Is(err, ocilayout.ErrWriting) {
		t.Errorf("%v, want %v", err, ocilayout.ErrWriting)
	}
}

func TestAStoppedRun(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, name string, archive bool) {
		_, c := mirror(t)
		i := image(t, c, amf)
		if _, err := write(t, name, archive, i); err != nil {
			t.Fatal(err)
		}
		w := create(t, name, archive)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := w.Add(ctx, i, unwatched); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	})
}

// index.json must be readable for other programs.
func TestIndex(t *testing.T) {
	t.Parallel()
	_, c := mirror(t)
	folder := filepath.Join(t.TempDir(), "site")
	if _, err := write(t, folder, false, image(t, c, upf)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "index.json"))
	var index ocispec.Index
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if err != nil || index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex {
		t.Fatalf("%v: %s", err, text)
	}
	var names []string
	for _, d := range index.Manifests {
		names = append(names, d.Annotations[ocispec.AnnotationRefName])
	}
	d, _ := named(t, open(t, folder, false), upf)
	want := []string{"r.example/acme/upf:" + strings.Replace(d, ":", "-", 1) + ".sig", "", upf}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
