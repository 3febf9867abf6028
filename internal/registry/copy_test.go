package registry_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func unwatched(int64) {}

// uploads returns the number of blobs that were uploaded.
func uploads(r *registrytest.Registry) int {
	return r.Count(func(req *http.Request) bool {
		return req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/uploads/")
	})
}

// indexAt pushes an index of two platforms, and reads it as a source.
func indexAt(t *testing.T) (*registrytest.Registry, *registry.Source) {
	t.Helper()
	r, c := start(t)
	if _, err := registrytest.PushIndex(t.Context(), r.Host, "from/app", "1.0.0", []string{"linux/amd64", "linux/arm64"}, "copy"); err != nil {
		t.Fatal(err)
	}
	s, err := c.Source(t.Context(), "from/app", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func TestCopy(t *testing.T) {
	t.Parallel()
	_, s := indexAt(t)
	r, c := start(t)
	var moved atomic.Int64
	if err := c.Copy(t.Context(), "acme/app", s, func(n int64) { moved.Add(n) }); err != nil {
		t.Fatal(err)
	}
	if moved.Load() != s.Size {
		t.Errorf("%d bytes were reported, want %d", moved.Load(), s.Size)
	}
	wantAt(t, c, map[string]digest.Digest{})
	for range 2 {
		if err := c.Tag(t.Context(), "acme/app", "1", s, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Verify(t.Context(), "acme/app", "1", s.Root.Descriptor); err != nil {
		t.Error(err)
	}
	// Existing blobs are not sent again, and missing ones are.
	first := uploads(r)
	if first != 4 {
		t.Errorf("%d blobs were sent, want a config and a layer for each platform", first)
	}
	if err := c.Copy(t.Context(), "acme/app", s, unwatched); err != nil || uploads(r) != first {
		t.Errorf("copying again: %v, %d blobs were sent", err, uploads(r)-first)
	}
}

func TestCopyGoesOn(t *testing.T) {
	t.Parallel()
	_, s := indexAt(t)
	r, c := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	r.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") && sent.Add(1) == 2 {
			cancel() // one platform is complete, the other one is not
			panic(http.ErrAbortHandler)
		}
		return false
	})
	err := c.Copy(ctx, "acme/app", s, unwatched)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("an interrupted copy: %v", err)
	}
	r.Intercept(nil)
	r.Forget()
	if err := errors.Join(c.Copy(t.Context(), "acme/app", s, unwatched), c.Tag(t.Context(), "acme/app", "1", s, "")); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), "acme/app", "1", s.Root.Descriptor); err != nil {
		t.Error(err)
	}
	if n := uploads(r); n != 0 {
		t.Errorf("%d blobs were sent again", n)
	}
}

// An existing manifest does not prove that its blobs exist: a collection, or a restored backup, can lose them.
func TestCopyMendsAnImage(t *testing.T) {
	t.Parallel()
	_, s := indexAt(t)
	dir := t.TempDir()
	r, c := start(t, registrytest.InDir(dir))
	if err := errors.Join(c.Copy(t.Context(), "acme/app", s, unwatched), c.Tag(t.Context(), "acme/app", "1", s, "")); err != nil {
		t.Fatal(err)
	}
	child, err := c.Manifest(t.Context(), "acme/app", s.Root.Children[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	lost := child.Blobs[1].Digest
	files, err := filepath.Glob(dir + "/docker/registry/v2/*/*/*/" + lost.Encoded())
	if linked := dir + "/docker/registry/v2/repositories/acme/app/_layers/sha256/" + lost.Encoded(); err == nil {
		err = errors.Join(os.RemoveAll(linked), os.RemoveAll(filepath.Join(append(files, "none")[0])))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.App = registrytest.Start(t, registrytest.InDir(dir)).App // the new one has an empty cache
	if err := c.Verify(t.Context(), "acme/app", "1", s.Root.Descriptor); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a blob is gone: %v, want ErrNotFound", err)
	}
	if err := c.Copy(t.Context(), "acme/app", s, unwatched); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), "acme/app", "1", s.Root.Descriptor); err != nil {
		t.Error(err)
	}
}

func TestCopyWithinARegistryMounts(t *testing.T) {
	t.Parallel()
	for name, mounts := range map[string]bool{"allowed": true, "denied": false} {
		r, s := indexAt(t)
		c := open(t, registry.Config{Location: r.Location("acme")})
		r.Forget()
		if !mounts {
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				denied := req.URL.Query().Get("mount") != ""
				if denied {
					registrytest.Fail(w, http.StatusForbidden, "DENIED", "no")
				}
				return denied
			})
		}
		if err := errors.Join(c.Copy(t.Context(), "acme/app", s, unwatched), c.Tag(t.Context(), "acme/app", "1", s, "")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Verify(t.Context(), "acme/app", "1", s.Root.Descriptor); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := uploads(r); (n == 0) != mounts {
			t.Errorf("%s: %d blobs were sent", name, n)
		}
	}
}

func TestTagIsNotOverwritten(t *testing.T) {
	t.Parallel()
	_, s := indexAt(t)
	r, c := start(t)
	other := push(t, r.Host, "app", "1.0.0", "other")
	if err := c.Copy(t.Context(), "app", s, unwatched); err != nil {
		t.Fatal(err)
	}
	if err := c.Tag(t.Context(), "app", "1.0.0", s, ""); !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("Tag: %v, want ErrTagTaken", err)
	}
	if err := c.Verify(t.Context(), "app", "1.0.0", s.Root.Descriptor); !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("Verify: %v, want ErrTagTaken", err)
	}
	wantAt(t, c, map[string]digest.Digest{"1.0.0": other.Digest})
	if err := c.Tag(t.Context(), "app", "1.0.0", s, digest.FromString("third")); !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("somebody has pushed since: %v, want ErrTagTaken", err)
	}
	wantAt(t, c, map[string]digest.Digest{"1.0.0": other.Digest})
	if err := c.Tag(t.Context(), "app", "1.0.0", s, other.Digest); err != nil {
		t.Error(err)
	}
	wantAt(t, c, map[string]digest.Digest{"1.0.0": s.Root.Descriptor.Digest})
}

// A manifest with a subject must be copied with its subject, and without writing a tag.
func TestCopyOfAReferrer(t *testing.T) {
	t.Parallel()
	from, reader := start(t)
	subject := push(t, from.Host, "app", "1.0.0", "subject")
	referrer, err := registrytest.PushReferrer(t.Context(), from.Host, "app", subject, "application/vnd.example.signature", []byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := reader.Source(t.Context(), "app", referrer.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	r, c := start(t)
	if err := errors.Join(c.Copy(t.Context(), "app", s, unwatched), c.Tag(t.Context(), "app", "signature", s, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resolve(t.Context(), "app", subject.Digest.String()); err != nil {
		t.Errorf("the subject: %v", err)
	}
	if n := r.Count(func(req *http.Request) bool {
		return req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/sha256-")
	}); n != 0 {
		t.Errorf("%d tags were written for the subject", n)
	}
}

func TestPackIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	var digests []digest.Digest
	for range 2 {
		s, err := oci.Pack(t.Context(), "chart", oci.Blob{MediaType: "application/json", Data: []byte("{}")},
			[]oci.Blob{{MediaType: "text/plain", Data: []byte("text")}}, map[string]string{"b": "2", "a": "1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Copy(t.Context(), "chart", s, unwatched); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, s.Root.Descriptor.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("the digests are %s", digests)
	}
	m, err := c.Manifest(t.Context(), "chart", digests[0])
	if err != nil || m.Descriptor.MediaType != ocispec.MediaTypeImageManifest || len(m.Blobs) != 2 {
		t.Errorf("%+v, %v", m.Descriptor, err)
	}
}

func TestCopyErrors(t *testing.T) {
	t.Parallel()
	_, s := indexAt(t)
	credential := registry.Credential{Username: "acme", Password: password}
	for name, tc := range map[string]struct {
		reason string
		answer http.HandlerFunc
		want   error
	}{
		"Refused": {"a login that may not push", func(w http.ResponseWriter, _ *http.Request) {
			registrytest.Fail(w, http.StatusForbidden, "DENIED", password)
		}, registry.ErrDenied},
		"Broken": {"the registry is ill", func(w http.ResponseWriter, _ *http.Request) {
			registrytest.Fail(w, http.StatusInternalServerError, "UNKNOWN", password)
		}, registry.ErrUnavailable},
		"ReadOnly": {"maintenance", status(http.StatusMethodNotAllowed), registry.ErrUnsupported},
		"Elsewhere": {"an upload that would take the login elsewhere", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://elsewhere.example.com/?secret="+password)
			w.WriteHeader(http.StatusAccepted)
		}, registry.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := registrytest.Start(t)
			c := open(t, registry.Config{Location: r.Location(""), Credential: credential})
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if req.Method != http.MethodPost {
					return false
				}
				tc.answer(w, req)
				return true
			})
			err := c.Copy(t.Context(), "app", s, unwatched)
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", tc.reason, err, tc.want)
			}
			registrytest.NoSecret(t, err, credential)
		})
	}
	r, c := start(t)
	r.Down()
	if err := c.Copy(t.Context(), "app", s, unwatched); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a registry that is down: %v", err)
	}
	inside := open(t, registry.Config{Location: r.Location("acme")})
	if err := inside.Copy(t.Context(), "other/app", s, unwatched); !errors.Is(err, registry.ErrConfig) {
		t.Errorf("outside of the prefix (I9): %v", err)
	}
}

// Whatever error the registry returns, the error must show that the source is damaged.
func TestCopyOfASpoiledBlob(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		spoil  func([]byte) []byte
		late   bool // after the source was read, because that compares the size of each blob
		says   string
	}{
		"Changed": {"other bytes of the same length", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, false, "do not have this digest"},
		"Cut":     {"the disk was full", func(b []byte) []byte { return b[:len(b)-1] }, true, "are fewer than"},
		"Grown":   {"something was appended", func(b []byte) []byte { return append(b, 0) }, true, "are more than"},
	} {
		for _, by := range []struct{ archive, targetChecks, mounts bool }{{false, false, false}, {false, true, false}, {false, true, true}, {true, false, false}, {true, true, false}} {
			archive := by.archive
			if archive && tc.late {
				continue // the archive was made before
			}
			folder, _ := writeLayout(t)
			s, err := openLayout(t, folder, false)
			if err != nil {
				t.Fatal(err)
			}
			blob := childOf(t, folder, s).Blobs[1].Digest
			data, err := os.ReadFile(blobFile(folder, blob))
			if err == nil {
				err = os.WriteFile(blobFile(folder, blob), tc.spoil(data), 0o600)
			}
			if err == nil && !tc.late {
				s, err = openLayout(t, folder, archive)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, c := start(t)
			o := registry.CopyOptions{TargetChecks: by.targetChecks}
			if by.mounts {
				o.Known = func(digest.Digest) string { return "gone" } // so that mounts become uploads
			}
			err = c.CopyWith(t.Context(), "app", s, unwatched, o)
			if !errors.Is(err, registry.ErrUnreadable) || errors.Is(err, registry.ErrDenied) ||
				!strings.Contains(err.Error(), "the bytes of blob "+blob.String()+" in "+folder) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %s, %+v: %v, want ErrUnreadable and %q", name, tc.reason, by, err, tc.says)
			}
			if n := r.Count(func(req *http.Request) bool {
				return req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") && strings.HasSuffix(req.URL.Path, s.Root.Descriptor.Digest.String())
			}); n != 0 {
				t.Errorf("%s: the image was put without the blob", name)
			}
		}
	}
}

// childOf is the first image of a layout's index.
func childOf(t *testing.T, folder string, s *registry.Source) registry.Manifest {
	t.Helper()
	d := s.Root.Children[0]
	data, err := os.ReadFile(blobFile(folder, d.Digest))
	if err != nil {
		t.Fatal(err)
	}
	m, err := registry.ParseManifest(d.MediaType, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
