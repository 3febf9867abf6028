package storage_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// siteAgain returns another process on the same volume.
func siteAgain(t *testing.T, s site) site {
	t.Helper()
	return siteOn(t, s.volume, storage.Options{Volume: s.volume})
}

// A push or a read must restore everything that it needs and a collection has hidden.
func TestR2WhatIsHiddenComesBack(t *testing.T) {
	s := newSite(t)
	manifest, parts := s.image("r", "1", 2)
	revision := digest.FromBytes(manifest)
	all := []string{layout.RevisionPath("r", revision), layout.TagPath("r", "1"), layout.BlobPath(revision)}
	for _, p := range parts {
		all = append(all, layout.LayerPath("r", p.Digest), layout.BlobPath(p.Digest))
	}
	for _, tt := range []struct {
		reason string
		do     func(t *testing.T)
	}{
		{"HEAD of the manifest by tag", func(*testing.T) { s.want(http.StatusOK, http.MethodHead, "r/manifests/1", nil) }},
		{"GET of the manifest by digest", func(*testing.T) {
			s.want(http.StatusOK, http.MethodGet, "r/manifests/"+revision.String(), nil)
		}},
		{"a push of the same", func(t *testing.T) {
			if got, _ := s.image("r", "1", 2); digest.FromBytes(got) != revision {
				t.Error("another image")
			}
		}},
		{"an index over it", func(*testing.T) {
			s.put(http.StatusCreated, "r", "all", encode(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
				Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: revision, Size: int64(len(manifest))}}}))
		}},
		{"GET of a layer", func(t *testing.T) {
			if got := s.want(http.StatusOK, http.MethodGet, "r/blobs/"+parts[1].Digest.String(), nil); digest.FromString(got) != parts[1].Digest {
				t.Error("other content")
			}
		}},
		{"a mount into another repository", func(*testing.T) {
			s.want(http.StatusCreated, http.MethodPost, "other/blobs/uploads/?mount="+parts[1].Digest.String()+"&from=r", nil)
		}},
		{"the list of tags", func(t *testing.T) {
			if got := s.want(http.StatusOK, http.MethodGet, "r/tags/list", nil); len(got) == 0 {
				t.Error("nothing")
			}
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			for _, path := range all {
				if _, err := s.volume.Hide("1", path); err != nil {
					t.Fatal(err)
				}
			}
			tt.do(t)
			s.want(http.StatusOK, http.MethodHead, "r/manifests/1", nil)
			for _, p := range parts {
				s.want(http.StatusOK, http.MethodGet, "r/blobs/"+p.Digest.String(), nil)
			}
		})
	}
}

// deleting is a view that lets a collection delete files just after
// the last check of the first of them before a manifest is published.
type deleting struct {
	volume *volume.Volume
	// files are deleted once Lstat of the first of them was called looks times.
	files []string
	looks int
}

func (d *deleting) Lstat(name string) (fs.FileInfo, error) {
	info, err := os.Lstat(name)
	if len(d.files) > 0 && strings.HasSuffix(name, d.files[0]) {
		if d.looks--; d.looks == 0 {
			for _, file := range d.files {
				if _, err := d.volume.Hide("1", file); err != nil {
					return nil, err
				}
				if err := d.volume.Discard("1", file); err != nil {
					return nil, err
				}
			}
		}
	}
	return info, err
}

func (*deleting) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// A layer is deleted after distribution has found it, and before the
// manifest is published. Only the check after publication notices this.
func TestR2TheLook(t *testing.T) {
	for _, blind := range []bool{false, true} {
		t.Run(fmt.Sprintf("blind %t", blind), func(t *testing.T) {
			root := t.TempDir()
			plain, err := volume.Open(root, volume.Options{})
			if err != nil {
				t.Fatal(err)
			}
			view := &deleting{volume: plain}
			v, err := volume.Open(root, volume.Options{View: view})
			if err != nil {
				t.Fatal(err)
			}
			s := siteOn(t, v, storage.Options{Volume: v})
			if blind {
				storage.Blind(s.driver)
			}
			config, layer := s.upload("r", []byte("{}")), s.upload("r", []byte("layer"))
			manifest := imageOf(config, layer)
			// The first check of the layer verifies it. After that the push
			// checks it exactly once before it publishes the manifest.
			s.want(http.StatusOK, http.MethodHead, "r/blobs/"+layer.Digest.String(), nil)
			view.files, view.looks = []string{layout.BlobPath(layer.Digest), layout.LayerPath("r", layer.Digest)}, 1
			status, text := s.do(http.MethodPut, "r/manifests/1", manifest, "Content-Type", ocispec.MediaTypeImageManifest)
			if view.looks > 0 {
				t.Fatal("the layer did not go")
			}
			if got := s.status(http.MethodHead, "r/manifests/1"); got != http.StatusNotFound {
				t.Errorf("the image is answered with %d", got)
			}
			if lost := status == http.StatusCreated; lost != blind {
				t.Errorf("the push is answered with %d %s", status, text)
			}
		})
	}
}

// A process keeps seeing files for a while after another one has deleted them. A collection that waits twice that long
// must not delete what such a process still sees.
func TestR2TheDwell(t *testing.T) {
	for _, tt := range []struct {
		reason       string
		stale, dwell time.Duration
		want         int
	}{
		{"the collection does not wait", time.Hour, time.Nanosecond, http.StatusCreated},
		{"the collection waits for twice as long", 100 * time.Millisecond, 200 * time.Millisecond, http.StatusBadRequest},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			root := t.TempDir()
			plain, err := volume.Open(root, volume.Options{})
			if err != nil {
				t.Fatal(err)
			}
			old, err := volume.Open(root, volume.Options{View: &oldView{
				lasts: func() time.Duration { return tt.stale }, files: map[string]oldFile{}, folders: map[string]oldFolder{},
			}})
			if err != nil {
				t.Fatal(err)
			}
			s := siteOn(t, old, storage.Options{Volume: old})
			config, layer := s.upload("r", []byte("{}")), s.upload("r", []byte("layer"))
			for _, d := range []digest.Digest{config.Digest, layer.Digest} {
				s.want(http.StatusOK, http.MethodHead, "r/blobs/"+d.String(), nil)
				s.age(layout.BlobPath(d), time.Hour)
				s.age(layout.LayerPath("r", d), time.Hour)
			}
			report, err := collect.Run(t.Context(), plain, collect.Options{Grace: time.Minute, Dwell: tt.dwell, Untagged: true})
			if err != nil || report.Deleted.Blobs != 2 {
				t.Fatalf("%+v %v", report, err)
			}
			status, text := s.do(http.MethodPut, "r/manifests/1", imageOf(config, layer), "Content-Type", ocispec.MediaTypeImageManifest)
			if status != tt.want {
				t.Errorf("the push is answered with %d %s, not %d", status, text, tt.want)
			}
			if got := siteOn(t, plain, storage.Options{Volume: plain}).status(http.MethodHead, "r/manifests/1"); got != http.StatusNotFound {
				t.Errorf("the image, whose layer is gone, is answered with %d", got)
			}
		})
	}
}

func TestReferrers(t *testing.T) {
	s := newSite(t)
	manifest, parts := s.image("r", "1", 0)
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	var pushed []digest.Digest
	for _, kind := range []string{"a/a", "b/b", "c/c"} {
		signature := encode(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			ArtifactType: kind, Config: parts[0], Subject: &subject, Annotations: map[string]string{"k": kind}})
		pushed = append(pushed, s.put(http.StatusCreated, "r", digest.FromBytes(signature).String(), signature).Digest)
	}
	if got := s.driver.Subject(pushed[0]); got != subject.Digest {
		t.Errorf("the subject of what was pushed is %q", got)
	}
	var found []digest.Digest
	for after, first := digest.Digest(""), true; first || after != ""; first = false {
		list, next, err := s.driver.Referrers(t.Context(), "r", subject.Digest, after, 2)
		if err != nil || len(list) > 2 {
			t.Fatal(list, err)
		}
		for _, d := range list {
			if d.Annotations["k"] != d.ArtifactType || d.Size == 0 || d.MediaType != ocispec.MediaTypeImageManifest {
				t.Errorf("%+v", d)
			}
			found = append(found, d.Digest)
		}
		after = next
	}
	if len(found) != len(pushed) {
		t.Errorf("found %v, pushed %v", found, pushed)
	}
	s.want(http.StatusAccepted, http.MethodDelete, "r/manifests/"+pushed[0].String(), nil)
	if list, _, err := s.driver.Referrers(t.Context(), "r", subject.Digest, "", 10); err != nil || len(list) != 2 {
		t.Error("after one was deleted:", list, err)
	}
	if list, _, err := s.driver.Referrers(t.Context(), "r", digest.FromString("nothing"), "", 10); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
}
