package storage_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/platform"
)

// chosen returns a registry whose mirror, below m, requires linux/amd64.
func chosen(t *testing.T, v *volume.Volume) site {
	t.Helper()
	return siteOn(t, v, storage.Options{Volume: v, Mirror: "m", Platforms: platform.List{{OS: "linux", Architecture: "amd64"}}})
}

func newChosen(t *testing.T) site {
	t.Helper()
	v, err := volume.Open(t.TempDir(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return chosen(t, v)
}

// childOf returns the descriptor of a manifest in an index, for an architecture of linux.
func childOf(manifest []byte, architecture string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	if architecture != "" {
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
	}
	return d
}

func indexOf(children ...ocispec.Descriptor) []byte {
	return encode(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
}

// other returns a manifest that was never pushed.
func other(seed string) []byte {
	return imageOf(ocispec.Descriptor{Digest: digest.FromString(seed), Size: 1}, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("layer " + seed), Size: 1})
}

func TestR1ChosenPlatformsAreNeededInTheMirrorAlone(t *testing.T) {
	s := newChosen(t)
	amd, parts := s.image("m/r", "amd", 1)
	for _, repository := range []string{"m/r", "r", "mr", "m"} {
		one, _ := s.image(repository, "amd", 1)
		index, status := indexOf(childOf(one, "amd64"), childOf(other("arm"), "arm64")), http.StatusBadRequest
		if repository == "m/r" {
			status = http.StatusCreated
		}
		if text := s.want(status, http.MethodPut, repository+"/manifests/1", index, "Content-Type", ocispec.MediaTypeImageIndex); status != http.StatusCreated && !strings.Contains(text, digest.FromBytes(other("arm")).String()) {
			t.Errorf("%s does not say what is missing: %s", repository, text)
		}
		if _, err := os.Stat(s.file(layout.RevisionPath(repository, digest.FromBytes(index)))); (err == nil) != (status == http.StatusCreated) {
			t.Errorf("the revision in %s: %v", repository, err)
		}
	}
	index := indexOf(childOf(amd, "amd64"), childOf(other("arm"), "arm64"))
	for _, reference := range []string{"1", digest.FromBytes(index).String()} {
		if got := s.want(http.StatusOK, http.MethodGet, "m/r/manifests/"+reference, nil); got != string(index) {
			t.Errorf("GET of %s answers other bytes", reference)
		}
		s.want(http.StatusOK, http.MethodHead, "m/r/manifests/"+reference, nil)
	}
	s.want(http.StatusNotFound, http.MethodGet, "m/r/manifests/"+digest.FromBytes(other("arm")).String(), nil)
	// The chosen child is required with everything below it.
	if err := os.Remove(s.file(layout.BlobPath(parts[1].Digest))); err != nil {
		t.Fatal(err)
	}
	s = chosen(t, s.volume)
	s.want(http.StatusNotFound, http.MethodHead, "m/r/manifests/1", nil)
	s.put(http.StatusBadRequest, "m/r", "2", index)
}

// The platforms must apply per driver and not be stored: without them, or with others, the same index can be absent.
func TestR1AnIndexLacksPlatformsOnlyWhileTheyAreNotChosen(t *testing.T) {
	s := newChosen(t)
	amd, _ := s.image("m/r", "amd", 1)
	s.put(http.StatusCreated, "m/r", "1", indexOf(childOf(amd, "amd64"), childOf(other("arm"), "arm64")))
	s = siteOn(t, s.volume, storage.Options{Volume: s.volume})
	s.want(http.StatusNotFound, http.MethodHead, "m/r/manifests/1", nil)
	s.want(http.StatusOK, http.MethodHead, "m/r/manifests/"+digest.FromBytes(amd).String(), nil)
	s = siteOn(t, s.volume, storage.Options{Volume: s.volume, Mirror: "m", Platforms: platform.List{{OS: "linux", Architecture: "arm64"}}})
	s.want(http.StatusNotFound, http.MethodHead, "m/r/manifests/1", nil)
	s.want(http.StatusOK, http.MethodHead, "m/r/manifests/"+digest.FromBytes(amd).String(), nil)
	s = chosen(t, s.volume)
	s.want(http.StatusOK, http.MethodHead, "m/r/manifests/1", nil)
}

// A layer that a chosen child shares with an optional child is required, in whichever order they are listed.
func TestR1WhatIsSharedWithAnotherPlatformIsNeeded(t *testing.T) {
	for name, order := range map[string]func(a, b ocispec.Descriptor) []byte{
		"first": func(a, b ocispec.Descriptor) []byte { return indexOf(a, b) }, "last": func(a, b ocispec.Descriptor) []byte { return indexOf(b, a) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newChosen(t)
			amd, parts := s.image("m/r", "amd", 2)
			arm := imageOf(parts[0], parts[2], parts[1])
			s.put(http.StatusCreated, "m/r", "arm", arm)
			s.put(http.StatusCreated, "m/r", "1", order(childOf(amd, "amd64"), childOf(arm, "arm64")))
			if err := os.Remove(s.file(layout.BlobPath(parts[1].Digest))); err != nil {
				t.Fatal(err)
			}
			s = chosen(t, s.volume)
			s.want(http.StatusNotFound, http.MethodHead, "m/r/manifests/1", nil)
		})
	}
}

// Damage to a child of another platform must not make the index absent.
func TestADamagedChildOfAnotherPlatform(t *testing.T) {
	s := newChosen(t)
	amd, _ := s.image("m/r", "amd", 1)
	s.image("m/r", "other", 2)
	layer := s.upload("m/r", []byte("of arm alone"))
	arm := imageOf(s.upload("m/r", []byte(`{}`)), layer)
	s.put(http.StatusCreated, "m/r", "arm", arm)
	inner := indexOf(childOf(arm, "arm64"))
	s.put(http.StatusCreated, "m/r", "inner", inner)
	nested := childOf(inner, "arm64")
	nested.MediaType = ocispec.MediaTypeImageIndex
	s.put(http.StatusCreated, "m/r", "1", indexOf(childOf(amd, "amd64"), childOf(arm, "arm64"), nested))
	if err := os.Remove(s.file(layout.BlobPath(layer.Digest))); err != nil {
		t.Fatal(err)
	}
	s = chosen(t, s.volume)
	s.want(http.StatusOK, http.MethodHead, "m/r/manifests/1", nil)
	s.want(http.StatusNotFound, http.MethodHead, "m/r/manifests/arm", nil)
	s.want(http.StatusNotFound, http.MethodHead, "m/r/manifests/inner", nil) // none of it is chosen, so all is required
}

// An index without a chosen platform requires all its children.
func TestR1AnIndexWithoutAChosenPlatformNeedsAll(t *testing.T) {
	s := newChosen(t)
	arm, _ := s.image("m/r", "amd", 1)
	s.put(http.StatusBadRequest, "m/r", "1", indexOf(childOf(arm, "arm64"), childOf(other("s390x"), "s390x")))
	s.put(http.StatusCreated, "m/r", "1", indexOf(childOf(arm, "arm64")))
	s.put(http.StatusBadRequest, "m/r", "none", indexOf(childOf(other("none"), "arm64")))
	// Children without a platform count as chosen; distribution's own list of platforms panics on them.
	s.put(http.StatusBadRequest, "m/r", "unclear", indexOf(childOf(arm, ""), childOf(other("unclear"), "")))
	s.put(http.StatusCreated, "m/r", "clear", indexOf(childOf(arm, ""), childOf(other("unclear"), "arm64")))
}

// R2: the push of an index must restore what a collection has hidden of all its platforms.
func TestR2OtherPlatformsAreTakenBackToo(t *testing.T) {
	s := newChosen(t)
	amd, _ := s.image("m/r", "amd", 1)
	arm := imageOf(s.upload("m/r", []byte(`{"of":"arm"}`)), s.upload("m/r", []byte("layer of arm")))
	s.put(http.StatusCreated, "m/r", digest.FromBytes(arm).String(), arm)
	revision := layout.RevisionPath("m/r", digest.FromBytes(arm))
	for _, file := range []string{revision, layout.BlobPath(digest.FromString("layer of arm"))} {
		if hidden, err := s.volume.Hide("1", file); err != nil || !hidden {
			t.Fatal(hidden, err)
		}
	}
	s.put(http.StatusCreated, "m/r", "1", indexOf(childOf(amd, "amd64"), childOf(arm, "arm64")))
	for _, file := range []string{revision, layout.BlobPath(digest.FromString("layer of arm"))} {
		if _, err := os.Stat(s.file(file)); err != nil {
			t.Error(err)
		}
	}
}
