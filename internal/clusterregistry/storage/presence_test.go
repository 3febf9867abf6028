package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// damage is one way in which a volume can lose a part of an image in repository r with tag 1.
type damage struct {
	reason string
	do     func(s site, manifest []byte, parts []ocispec.Descriptor) error
	// plain is the status of plain distribution's answer to HEAD of the manifest.
	plain int
}

func damages() []damage {
	blob := func(do func(name string) error, of func(manifest []byte, parts []ocispec.Descriptor) digest.Digest) func(site, []byte, []ocispec.Descriptor) error {
		return func(s site, m []byte, p []ocispec.Descriptor) error { return do(s.file(layout.BlobPath(of(m, p)))) }
	}
	layer := func(_ []byte, p []ocispec.Descriptor) digest.Digest { return p[1].Digest }
	config := func(_ []byte, p []ocispec.Descriptor) digest.Digest { return p[0].Digest }
	self := func(m []byte, _ []ocispec.Descriptor) digest.Digest { return digest.FromBytes(m) }
	empty := func(name string) error { return os.Truncate(name, 0) }
	half := func(name string) error { return os.Truncate(name, 7) }
	longer := func(name string) error { return os.Truncate(name, 1<<20) }
	return []damage{
		{"a layer is missing", blob(os.Remove, layer), http.StatusOK},
		{"a layer is empty", blob(empty, layer), http.StatusOK},
		{"a layer is cut", blob(half, layer), http.StatusOK},
		{"a layer is too long", blob(longer, layer), http.StatusOK},
		{"the config is missing", blob(os.Remove, config), http.StatusOK},
		{"the config is cut", blob(half, config), http.StatusOK},
		{"the manifest is missing", blob(os.Remove, self), http.StatusNotFound},
		{"the manifest is empty", blob(empty, self), http.StatusInternalServerError},
		{"the manifest is flipped", blob(flip, self), http.StatusOK},
		{"the link of a layer is missing", func(s site, _ []byte, p []ocispec.Descriptor) error {
			return os.Remove(s.file(layout.LayerPath("r", p[1].Digest)))
		}, http.StatusOK},
	}
}

func flip(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	content[len(content)/2] ^= 0xff
	return os.WriteFile(name, content, 0o600)
}

// Damaged content must be answered as missing, so that the next push of a client that skips present content repairs it.
func TestR1PresenceIsDeep(t *testing.T) {
	for _, tt := range damages() {
		t.Run(tt.reason, func(t *testing.T) {
			s := newSite(t)
			manifest, parts := s.image("r", "1", 2)
			if err := tt.do(s, manifest, parts); err != nil {
				t.Fatal(err)
			}
			if got := distribution(t, s.volume).status(http.MethodHead, "r/manifests/1"); got != tt.plain {
				t.Errorf("distribution answers %d, want %d", got, tt.plain)
			}
			// A new process must find the damage without having seen the content before.
			s = siteAgain(t, s)
			for _, reference := range []string{"1", digest.FromBytes(manifest).String()} {
				if got := s.status(http.MethodHead, "r/manifests/"+reference); got != http.StatusNotFound {
					t.Errorf("HEAD of %s answers %d", reference, got)
				}
			}
			s.image("r", "1", 2)
			s.want(http.StatusOK, http.MethodHead, "r/manifests/1", nil)
			for _, p := range parts {
				got := s.want(http.StatusOK, http.MethodGet, "r/blobs/"+p.Digest.String(), nil)
				if digest.FromString(got) != p.Digest {
					t.Errorf("%s has %d other bytes", p.Digest, len(got))
				}
			}
		})
	}
}

func TestR1AnIndexIsPresentWithAllBelowIt(t *testing.T) {
	s := newSite(t)
	child, parts := s.image("r", "1", 1)
	index := encode(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(child), Size: int64(len(child))}}})
	s.put(http.StatusCreated, "r", "all", index)
	if err := os.Remove(s.file(layout.BlobPath(parts[1].Digest))); err != nil {
		t.Fatal(err)
	}
	if got := s.status(http.MethodHead, "r/manifests/all"); got != http.StatusNotFound {
		t.Errorf("an index over a child that lost a layer: %d", got)
	}
	s.put(http.StatusBadRequest, "r", "again", index)
	s.image("r", "1", 1)
	s.put(http.StatusCreated, "r", "again", index)
	s.want(http.StatusOK, http.MethodHead, "r/manifests/all", nil)
}

// A manifest that states a wrong size of correct content must not make that content absent for others.
func TestAManifestThatLiesHurtsNobody(t *testing.T) {
	s := newSite(t)
	_, parts := s.image("r", "1", 1)
	lie := parts[1]
	lie.Size++
	s.put(http.StatusBadRequest, "r", "lie", imageOf(parts[0], lie))
	s.want(http.StatusOK, http.MethodHead, "r/manifests/1", nil)
	s.want(http.StatusOK, http.MethodGet, "r/blobs/"+lie.Digest.String(), nil)
	if got := s.status(http.MethodHead, "r/manifests/lie"); got != http.StatusNotFound {
		t.Errorf("the manifest that was refused is answered with %d", got)
	}
}

func TestAFlippedLayerIsNeverServedWhole(t *testing.T) {
	s := newSite(t)
	_, parts := s.image("r", "1", 1)
	if err := flip(s.file(layout.BlobPath(parts[1].Digest))); err != nil {
		t.Fatal(err)
	}
	s = siteAgain(t, s)
	if status, got := s.do(http.MethodGet, "r/blobs/"+parts[1].Digest.String(), nil); status == http.StatusOK && int64(len(got)) == parts[1].Size {
		t.Error("a client got wrong content without an error")
	}
	if got := s.status(http.MethodHead, "r/manifests/1"); got != http.StatusNotFound {
		t.Errorf("the image is answered with %d after its layer was found corrupt", got)
	}
	s.image("r", "1", 1)
	s.want(http.StatusOK, http.MethodGet, "r/blobs/"+parts[1].Digest.String(), nil)
	kept, err := filepath.Glob(s.file("/.nfo/corrupt/*"))
	if err != nil || len(kept) != 1 {
		t.Error("the corrupt content was not set aside:", kept, err)
	}
}

// A client that uploads without asking must replace corrupt content, whatever its size.
func TestAnUploadReplacesContentThatIsWrong(t *testing.T) {
	s := newSite(t)
	_, parts := s.image("r", "1", 1)
	name := s.file(layout.BlobPath(parts[1].Digest))
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := flip(name); err != nil {
		t.Fatal(err)
	}
	s = siteAgain(t, s)
	s.send("r", good, parts[1].Digest)
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, good) {
		t.Error("the content is still wrong", err)
	}
}

func TestLinksThatAreNotWholeAreWrittenAgain(t *testing.T) {
	s := newSite(t)
	manifest, parts := s.image("r", "1", 1)
	links := []string{layout.LayerPath("r", parts[1].Digest), layout.RevisionPath("r", digest.FromBytes(manifest)), layout.TagPath("r", "1")}
	want := map[string]string{}
	for _, link := range links {
		content, err := os.ReadFile(s.file(link))
		if err != nil {
			t.Fatal(err)
		}
		want[link] = string(content)
		if err := os.Truncate(s.file(link), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.want(http.StatusOK, http.MethodHead, "r/manifests/1", nil)
	s.want(http.StatusOK, http.MethodHead, "r/blobs/"+parts[1].Digest.String(), nil)
	for _, link := range links {
		if content, err := os.ReadFile(s.file(link)); err != nil || string(content) != want[link] {
			t.Errorf("%s has %q, want %q, %v", link, content, want[link], err)
		}
	}
}

func TestATagThatMayBeOneOfSeveralIsNotGuessed(t *testing.T) {
	s := newSite(t)
	s.image("r", "1", 1)
	config := s.upload("r", []byte("{}"))
	s.put(http.StatusCreated, "r", "1", imageOf(config))
	if err := os.Truncate(s.file(layout.TagPath("r", "1")), 0); err != nil {
		t.Fatal(err)
	}
	if got := s.status(http.MethodHead, "r/manifests/1"); got != http.StatusNotFound {
		t.Errorf("answered with %d", got)
	}
}

func TestAManifestThatLostALayerCanBeDeleted(t *testing.T) {
	s := newSite(t)
	manifest, parts := s.image("r", "1", 1)
	for _, gone := range []digest.Digest{parts[1].Digest, digest.FromBytes(manifest)} {
		if err := os.Remove(s.file(layout.BlobPath(gone))); err != nil {
			t.Fatal(err)
		}
	}
	path := "r/manifests/" + digest.FromBytes(manifest).String()
	s.want(http.StatusAccepted, http.MethodDelete, path, nil)
	if _, err := os.Stat(s.file(layout.RevisionPath("r", digest.FromBytes(manifest)))); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the manifest's link is still there", err)
	}
	if got := s.status(http.MethodDelete, path); got != http.StatusNotFound {
		t.Errorf("a second delete: %d", got)
	}
	if _, err := os.Stat(s.file(layout.TagPath("r", "1"))); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the tag is still there", err)
	}
}

func TestTagsThatPointAtNothingAreNotListed(t *testing.T) {
	s := newSite(t)
	s.image("r", "1", 0)
	s.image("r", "2", 0)
	if err := os.Remove(s.file(layout.TagPath("r", "1"))); err != nil {
		t.Fatal(err)
	}
	if got := s.want(http.StatusOK, http.MethodGet, "r/tags/list", nil); !strings.Contains(got, `["2"]`) {
		t.Error(got)
	}
}

func TestAnUploadThatFailsLeavesNothing(t *testing.T) {
	s := newSite(t)
	to := s.want(http.StatusAccepted, http.MethodPost, "r/blobs/uploads/", nil)
	s.want(http.StatusBadRequest, http.MethodPut, to+"&digest="+digest.FromString("other").String(), []byte("content"))
	if left, err := filepath.Glob(s.file(layout.UploadsOf("r") + "/*")); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

func TestWhoIsToldThatABlobIsThereHoldsIt(t *testing.T) {
	s := newSite(t)
	layer := s.upload("r", []byte("content"))
	path := layout.LayerPath("r", layer.Digest)
	s.age(path, 30*24*time.Hour)
	s = siteAgain(t, s)
	s.want(http.StatusOK, http.MethodHead, "r/blobs/"+layer.Digest.String(), nil)
	info, err := s.volume.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if now, err := s.volume.Now(); err != nil || now.Sub(info.ModTime()) > time.Minute {
		t.Errorf("its link is of %s, %v", info.ModTime(), err)
	}
}

// Distribution accepts some manifests that other clients may understand differently. Such a manifest must leave
// nothing: its needs are unknown, so everything of its repository would be kept.
func TestAManifestThatCannotBeUnderstoodLeavesNothing(t *testing.T) {
	s := newSite(t)
	config := s.upload("r", []byte("{}"))
	manifest := bytes.Replace(imageOf(config), []byte(`"config":`), fmt.Appendf(nil, `"Config":%s,"config":`, encode(config)), 1)
	s.put(http.StatusBadRequest, "r", "1", manifest)
	if _, err := s.volume.Stat(layout.RevisionPath("r", digest.FromBytes(manifest))); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the manifest that was refused has a link:", err)
	}
	report, err := collect.Run(t.Context(), s.volume, collect.Options{Dwell: time.Nanosecond, Untagged: true})
	if err != nil || report.NotUnderstoodCount != 0 {
		t.Errorf("%+v %v", report, err)
	}
}
