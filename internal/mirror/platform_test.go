package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/scrub"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

var amd64 = platform.List{{OS: "linux", Architecture: "amd64"}}

// choose restarts the manager and the registry with the given platforms as mirror.platforms.
func (s *scene) choose(platforms platform.List) {
	s.t.Helper()
	s.open(Options{Platforms: platforms})
	v, err := volume.Open(s.dir, volume.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := serve.New(s.t.Context(), serve.Options{Volume: v, MirrorPlatforms: platforms})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = r.Close() })
	s.target.App = r.Handler()
}

// children returns the children of an index in the source's repository, in the order of the index.
func (s *scene) children(repository string, index ocispec.Descriptor) []ocispec.Descriptor {
	s.t.Helper()
	m, err := s.client(s.inside).Manifest(s.t.Context(), "acme/"+repository, index.Digest)
	if err != nil {
		s.t.Fatal(err)
	}
	return m.Children
}

func (s *scene) client(at *registrytest.Registry) *registry.Client {
	s.t.Helper()
	c, err := registry.Open(registry.Config{Location: at.Location("")})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// put pushes an index to acme/upf at the source, without a tag if that is "".
func (s *scene) put(tag string, index ocispec.Index) ocispec.Descriptor {
	s.t.Helper()
	index.Versioned, index.MediaType = imagespec.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageIndex
	data, err := json.Marshal(index)
	if err != nil {
		s.t.Fatal(err)
	}
	d := ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if tag == "" {
		tag = d.Digest.String()
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, "http://"+s.inside.Host+"/v2/acme/upf/manifests/"+tag, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", index.MediaType)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusCreated {
		s.t.Fatalf("pushing an index: %s", answer.Status)
	}
	return d
}

// single pushes one image to acme/upf at the source, and returns it as the child of an index.
func (s *scene) single(seed, name string) ocispec.Descriptor {
	s.t.Helper()
	d, err := registrytest.PushImage(s.t.Context(), s.inside.Host, "acme/upf", "", seed)
	if err != nil {
		s.t.Fatal(err)
	}
	if os, architecture, ok := strings.Cut(name, "/"); ok {
		d.Platform = &ocispec.Platform{OS: os, Architecture: architecture}
	}
	return d
}

// lacks fails the test if the mirror answers for a digest.
func (s *scene) lacks(repository string, d digest.Digest) {
	s.t.Helper()
	if _, err := s.client(s.target).Resolve(s.t.Context(), repository, d.String()); !errors.Is(err, registry.ErrNotFound) {
		s.t.Errorf("the mirror answers for %s: %v", d, err)
	}
}

// Only the chosen platform of an index is copied, with its signature
// and that of the index. The digest of the index is unchanged.
func TestChosenPlatforms(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.choose(amd64)
	want, i := s.pushed("upf", "chosen"), s.image("upf:1")
	children := s.children("upf", want)
	var signatures []ocispec.Descriptor
	for n, subject := range append(slices.Clone(children), want) {
		d, err := registrytest.PushReferrer(t.Context(), s.inside.Host, "acme/upf", subject, "application/x.signature", []byte{byte(n)})
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, d)
	}
	var moved, all atomic.Int64
	a := s.ask(i)
	done, err := s.mirror.Copy(t.Context(), Job{Image: i, Mirror: s.store, Answer: a, Moved: func(n, of int64) { moved.Add(n); all.Store(of) }})
	if err != nil || done.Satellites != 2 || done.Unattached != nil {
		t.Fatalf("copied %+v, %v", done, err)
	}
	if err := s.mirror.Tag(t.Context(), s.store, i, want.Digest, ""); err != nil {
		t.Fatal(err)
	}
	s.has(i, want)
	size, err := s.mirror.Size(t.Context(), s.store, i, want.Digest)
	child, childErr := s.client(s.inside).Source(t.Context(), "acme/upf", children[0].Digest.String())
	if err != nil || childErr != nil || size != want.Size+child.Size || done.Size != size || all.Load() != size || moved.Load() < size {
		t.Errorf("the copy has %d bytes and says %d, of which %d of %d were moved, want %d: %v, %v", size, done.Size, moved.Load(), all.Load(), want.Size+child.Size, err, childErr)
	}
	to := s.client(s.target)
	for _, d := range []ocispec.Descriptor{children[0], signatures[0], signatures[2]} {
		if err := to.VerifyWith(t.Context(), i.MirrorRepository(), "", d, registry.Selection{Sparse: true}); err != nil {
			t.Error(err)
		}
	}
	s.lacks(i.MirrorRepository(), children[1].Digest)
	s.lacks(i.MirrorRepository(), signatures[1].Digest)
}

// A copy for fewer platforms is completed after platforms were added
// or the choice was removed. It is kept when platforms are removed.
func TestChosenPlatformsChange(t *testing.T) {
	t.Parallel()
	for name, wide := range map[string]platform.List{"grown": append(slices.Clone(amd64), platform.Platform{OS: "linux", Architecture: "arm64"}), "removed": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.choose(amd64)
			want, i := s.pushed("upf", name), s.image("upf:1")
			s.copy(i)
			s.has(i, want)
			s.choose(wide)
			s.lacks(i.MirrorRepository(), want.Digest)
			if err := s.client(s.target).Verify(t.Context(), i.MirrorRepository(), "", s.children("upf", want)[0]); err != nil {
				t.Errorf("the platform that is there: %v", err)
			}
			before := s.source.Count(blobs)
			s.copy(i)
			s.has(i, want)
			if err := s.client(s.target).Verify(t.Context(), i.MirrorRepository(), "1", want); err != nil {
				t.Error(err)
			}
			if n := s.source.Count(blobs) - before; n != 2 {
				t.Errorf("%d blobs were read, want the 2 that were missing", n)
			}
			s.choose(amd64)
			s.has(i, want)
			if err := s.client(s.target).Verify(t.Context(), i.MirrorRepository(), "1", want); err != nil {
				t.Errorf("a shorter list has removed something: %v", err)
			}
		})
	}
}

// Images come in several forms: what is chosen of them, and what is copied whatever is chosen.
func TestChosenPlatformsOfForms(t *testing.T) {
	t.Parallel()
	for name, push := range map[string]func(s *scene) (absent []ocispec.Descriptor){
		"attestations": func(s *scene) []ocispec.Descriptor {
			amd, arm := s.single("a", "linux/amd64"), s.single("b", "linux/arm64")
			about := func(seed string, of ocispec.Descriptor) ocispec.Descriptor {
				d := s.single(seed, "unknown/unknown")
				d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of.Digest.String()}
				return d
			}
			index := ocispec.Index{Manifests: []ocispec.Descriptor{amd, arm, about("c", amd), about("d", arm)}}
			s.put("1", index)
			return []ocispec.Descriptor{arm, index.Manifests[3]}
		},
		"no platforms": func(s *scene) []ocispec.Descriptor {
			s.put("1", ocispec.Index{Manifests: []ocispec.Descriptor{s.single("a", ""), s.single("b", "")}})
			return nil
		},
		"nested": func(s *scene) []ocispec.Descriptor {
			amd, arm := s.single("a", "linux/amd64"), s.single("b", "linux/arm64")
			inner := s.put("", ocispec.Index{Manifests: []ocispec.Descriptor{amd, arm}})
			s.put("1", ocispec.Index{Manifests: []ocispec.Descriptor{inner, s.single("c", "linux/s390x")}})
			return []ocispec.Descriptor{arm, s.single("c", "linux/s390x")}
		},
		"one image": func(s *scene) []ocispec.Descriptor {
			if _, err := registrytest.PushImage(s.t.Context(), s.inside.Host, "acme/upf", "1", "alone"); err != nil {
				s.t.Fatal(err)
			}
			s.choose(platform.List{{OS: "linux", Architecture: "arm64"}})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.choose(amd64)
			absent := push(s)
			i := s.image("upf:1")
			s.copy(i)
			s.has(i, s.ask(i).Descriptor)
			to := s.client(s.target)
			of, err := to.SourceWith(t.Context(), i.MirrorRepository(), "1", registry.Selection{Sparse: true})
			if err != nil || len(of.Absent()) != len(absent) {
				t.Errorf("absent are %d, want %d: %v", len(of.Absent()), len(absent), err)
			}
			for _, d := range absent {
				s.lacks(i.MirrorRepository(), d.Digest)
			}
		})
	}
}

// The error for an image with none of the platforms says which it has.
// An image that the mirror already has completely is still present.
func TestNoneOfThePlatforms(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	want, i := s.pushed("upf", "none"), s.image("upf:1")
	s.copy(i)
	s.choose(platform.List{{OS: "linux", Architecture: "s390x"}, {OS: "linux", Architecture: "arm", Variant: "v7"}})
	s.has(i, want)
	s.pushed("amf", "none of them")
	i = s.image("amf:1")
	_, err := s.mirror.Copy(t.Context(), Job{Image: i, Mirror: s.store, Answer: s.ask(i), Moved: func(int64, int64) {}})
	if !errors.Is(err, platform.ErrNone) || !strings.Contains(err.Error(), "it has linux/amd64, linux/arm64, and linux/s390x, linux/arm/v7 is mirrored") {
		t.Errorf("the copy says %v", err)
	}
	if n := s.target.Count(func(req *http.Request) bool {
		return req.Method == http.MethodPut && strings.Contains(req.URL.Path, "amf")
	}); n != 0 {
		t.Errorf("%d requests have put something into the mirror", n)
	}
}

// Garbage collection deletes nothing that was copied, even if it has no tag, and the scrub finds no fault.
func TestR2CollectionAndScrubOfChosenPlatforms(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.choose(amd64)
	want, i := s.pushed("upf", "collected"), s.image("upf:1")
	s.copy(i)
	v, err := volume.Open(s.dir, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, platforms := range []platform.List{amd64, nil} { // with nil, the registry does not answer for the index
		s.choose(platforms)
		report, err := collect.Run(t.Context(), v, collect.Options{Grace: 1, Untagged: true})
		if err != nil || report.NotUnderstoodCount > 0 || report.Deleted.Revisions+report.Deleted.Blobs > 0 {
			t.Fatalf("%+v, %v", report, err)
		}
	}
	s.choose(amd64)
	s.has(i, want)
	found, err := scrub.Run(t.Context(), v, scrub.Options{Period: 1})
	if err != nil || found.Blobs == 0 || found.Corrupt+found.Unreadable > 0 {
		t.Errorf("%s, %v", found, err)
	}
	s.has(i, want)
}
