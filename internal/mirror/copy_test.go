package mirror

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// The whole index is copied, with an unchanged digest and the signature. A second copy costs one request to each side.
func TestCopyIsWholeAndOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	want, i := s.pushed("upf", "whole"), s.image("upf:1")
	signature, err := registrytest.PushReferrer(t.Context(), s.inside.Host, "acme/upf", want, "application/x.signature", []byte("signed"))
	if err != nil {
		t.Fatal(err)
	}
	done := s.copy(i)
	if done.Satellites != 1 || done.Unattached != nil || done.Size <= want.Size {
		t.Errorf("copied %+v", done)
	}
	s.has(i, want)
	to, err := registry.Open(registry.Config{Location: s.target.Location("")})
	if err != nil {
		t.Fatal(err)
	}
	for reference, d := range map[string]ocispec.Descriptor{"1": want, "": signature} {
		if err := to.Verify(t.Context(), i.MirrorRepository(), reference, d); err != nil {
			t.Errorf("in the mirror: %v", err)
		}
	}
	s.source.Forget()
	s.target.Forget()
	s.ask(i)
	s.has(i, want)
	if there, here := s.source.Count(nil), s.target.Count(nil); there != 1 || here != 1 || s.source.Count(blobs)+s.target.Count(blobs) != 0 {
		t.Errorf("%d requests to the source and %d to the mirror, want one each, and none for blobs", there, here)
	}
}

// Blobs that one repository of the mirror has are mounted into
// another one by their digests, without being read from the source.
func TestCopyMounts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.pushed("upf", "same")
	s.copy(s.image("upf:1"))
	want := s.pushed("amf", "same")
	s.source.Forget()
	s.copy(s.image("amf:1"))
	s.has(s.image("amf:1"), want)
	if n := s.source.Count(blobs); n != 0 {
		t.Errorf("%d blobs were read again", n)
	}
}

// A blob of another namespace's private image is not mounted for a
// manifest that contains its digest, if the source does not have the blob.
func TestABlobThatTheSourceDoesNotHaveIsNotMounted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.pushed("upf", "same")
	s.copy(s.image("upf:1"))
	s.pushed("amf", "same")
	s.source.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/amf/blobs/") {
			return false
		}
		registrytest.Fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "by the test")
		return true
	})
	i := s.image("amf:1")
	_, err := s.mirror.Copy(t.Context(), Job{Image: i, Mirror: s.store, Answer: s.ask(i), Moved: func(int64, int64) {}})
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("it is copied: %v, want %v", err, registry.ErrNotFound)
	}
}

// An image that is referenced by digest gets no tag in the mirror, and others do.
func TestCopyByDigest(t *testing.T) {
	t.Parallel()
	for _, reference := range []string{"upf:1@", "upf@", "upf:1"} {
		t.Run(reference, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			want := s.pushed("upf", "digest")
			if strings.HasSuffix(reference, "@") {
				reference += want.Digest.String()
			}
			i := s.image(reference)
			s.copy(i)
			s.has(i, want)
			if _, err := registrytest.TagDigest(t.Context(), s.target.Host, i.MirrorRepository(), "1"); (err == nil) != (i.Digest == "") {
				t.Errorf("the tag: %v", err)
			}
		})
	}
}

func TestAMovedTag(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	i := s.image("upf:1")
	old := s.pushed("upf", "old")
	s.copy(i)
	want := s.pushed("upf", "new")
	s.copy(i)
	s.has(i, want)
	a := s.ask(i)
	// I5: a caller that has seen the tag at another digest does not move it.
	if err := s.mirror.Tag(t.Context(), s.store, i, a.Descriptor.Digest, old.Digest); err != nil {
		t.Errorf("a tag that is there already: %v", err)
	}
	if err := s.mirror.Tag(t.Context(), s.store, i, old.Digest, old.Digest); !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("moving a tag that has moved: %v", err)
	}
}

// R1: the mirror does not answer for an image with a blob that is damaged on disk, and another copy repairs it.
func TestR1DamageIsFoundAndHealed(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(string) error{
		"truncated": func(file string) error { return os.Truncate(file, 1) },
		"removed":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			want, i := s.pushed("upf", name), s.image("upf:1")
			s.copy(i)
			m, err := s.ask(i).from.Source(t.Context(), i.Repository, "1")
			if err != nil {
				t.Fatal(err)
			}
			var one digest.Digest
			for d := range m.BlobDigests() {
				one = d
			}
			if err := damage(filepath.Join(s.dir, "docker/registry/v2/blobs/sha256", one.Encoded()[:2], one.Encoded(), "data")); err != nil {
				t.Fatal(err)
			}
			s.target.App = registrytest.Start(t, registrytest.Own(), registrytest.InDir(s.dir)).App
			if d, err := s.mirror.Has(t.Context(), s.store, i, "1"); err != nil || d.Digest != "" {
				t.Fatalf("the mirror answers for a damaged image: %s, %v", d.Digest, err)
			}
			s.copy(i)
			s.has(i, want)
		})
	}
}

func TestAnInterruptedCopyGoesOn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	want, i := s.pushed("upf", "interrupted"), s.image("upf:1")
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	s.target.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") && sent.Add(1) == 1 {
			cancel()
			panic(http.ErrAbortHandler)
		}
		return false
	})
	job := Job{Image: i, Mirror: s.store, Answer: s.ask(i), Moved: func(int64, int64) {}}
	if _, err := s.mirror.Copy(ctx, job); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("an interrupted copy: %v", err)
	}
	s.target.Intercept(nil)
	before := s.source.Count(blobs)
	if before == 0 {
		t.Fatal("nothing was copied before")
	}
	s.copy(i)
	s.has(i, want)
	if again := s.source.Count(blobs) - before; again >= 4 {
		t.Errorf("%d of 4 blobs were read again", again)
	}
}

// Two Artifacts of the same image do not copy it at the same time.
func TestOneCopyOfADigest(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.pushed("upf", "once")
	i := s.image("upf:1")
	job := Job{Image: i, Mirror: s.store, Answer: s.ask(i), Moved: func(int64, int64) {}}
	var second error
	var once atomic.Bool
	s.target.Intercept(func(http.ResponseWriter, *http.Request) bool {
		if once.CompareAndSwap(false, true) {
			_, second = s.mirror.Copy(t.Context(), job)
		}
		return false
	})
	if _, err := s.mirror.Copy(t.Context(), job); err != nil || !errors.Is(second, ErrBusy) {
		t.Errorf("the first copy: %v; the second one meanwhile: %v", err, second)
	}
}

// A copy from a hostile source ends with an error, in bounded time and memory.
func TestHostileSources(t *testing.T) {
	t.Parallel()
	for _, attack := range []registrytest.Attack{registrytest.EmptyChildren(), registrytest.ManyChildren(), registrytest.RichChildren(), registrytest.LongNumber(), registrytest.WrongLength(), registrytest.GzipBomb(), registrytest.RedirectLoop()} {
		t.Run(attack.Name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.pushed("upf", "hostile")
			i := s.image("upf:1")
			answer := s.ask(i)
			s.source.Attack(attack)
			if _, err := s.mirror.Copy(t.Context(), Job{Image: i, Mirror: s.store, Answer: answer, Moved: func(int64, int64) {}}); err == nil {
				t.Error("it was copied")
			}
		})
	}
}

// The copy of a blob that the source sends too slowly ends.
func TestABlobThatStandsStill(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open(Options{Stall: 300 * time.Millisecond})
	s.pushed("upf", "drip")
	i := s.image("upf:1")
	answer := s.ask(i)
	s.source.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") {
			return false
		}
		for req.Context().Err() == nil {
			if _, err := w.Write([]byte("x")); err != nil {
				break
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-req.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		return true
	})
	_, err := s.mirror.Copy(t.Context(), Job{Image: i, Mirror: s.store, Answer: answer, Moved: func(int64, int64) {}})
	if !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "stands still") {
		t.Errorf("the copy says %v", err)
	}
}
