package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// parts is storage in memory. Its bytes need not have their digests.
type parts map[digest.Digest][]byte

func (p parts) Exists(_ context.Context, d ocispec.Descriptor) (bool, error) {
	_, ok := p[d.Digest]
	return ok, nil
}

func (p parts) Fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	data, ok := p[d.Digest]
	if !ok {
		return nil, failure.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// add stores a blob and returns its descriptor.
func (p parts) add(mediaType string, data []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	p[d.Digest] = data
	return d
}

func (p parts) addJSON(t *testing.T, mediaType string, m any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return p.add(mediaType, data)
}

// image stores an image of these layers.
func (p parts) image(t *testing.T, subject *ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return p.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Subject: subject,
		Config: p.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: layers,
	})
}

func TestPack(t *testing.T) {
	t.Parallel()
	config := oci.Blob{MediaType: "application/vnd.example.config", Data: []byte("config")}
	layers := []oci.Blob{{MediaType: "text/plain", Data: []byte("first")}, {MediaType: "text/plain", Data: []byte("second one")}}
	annotations := map[string]string{"example.com/made": "here"}
	s, err := oci.Pack(t.Context(), "the chart", config, layers, annotations)
	if err != nil {
		t.Fatal(err)
	}
	again, err := oci.Pack(t.Context(), "another name", config, layers, annotations)
	if err != nil || again.Root.Descriptor.Digest != s.Root.Descriptor.Digest {
		t.Errorf("the same parts give %s and %s: %v", s.Root.Descriptor.Digest, again.Root.Descriptor.Digest, err)
	}
	if s.Root.ConfigMediaType() != config.MediaType {
		t.Errorf("the config is of the type %q", s.Root.ConfigMediaType())
	}
	if want := int64(len("config")+len("first")+len("second one")) + s.Root.Descriptor.Size; s.Size != want {
		t.Errorf("the size is %d, want %d", s.Size, want)
	}
	if d := s.Root.AsReferrer(); d.ArtifactType != config.MediaType || d.Annotations["example.com/made"] != "here" {
		t.Errorf("as a referrer it is %+v", d)
	}
	blobs, manifests := s.Parts()
	if len(manifests) != 1 || manifests[0].Digest != s.Root.Descriptor.Digest {
		t.Errorf("the manifests are %v", manifests)
	}
	if diff := cmp.Diff(s.PartsOf(s.Root.Descriptor.Digest), blobs); diff != "" {
		t.Errorf("the blobs are not those of the only manifest: %s", diff)
	}
	var got, digests []string
	for _, b := range blobs {
		body, err := s.Open(t.Context(), b, 0)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		got = append(got, string(data))
	}
	if diff := cmp.Diff([]string{"config", "first", "second one"}, got); diff != "" {
		t.Errorf("read were (-want +got):\n%s", diff)
	}
	for d := range s.BlobDigests() {
		digests = append(digests, d.String())
	}
	for _, b := range append(layers, config) {
		if !slices.Contains(digests, digest.FromBytes(b.Data).String()) {
			t.Errorf("%q is not among the digests %v", b.Data, digests)
		}
	}
	if s.PartsOf(digest.FromString("first")) != nil {
		t.Error("a blob has parts")
	}
}

func TestSourcesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	layer := func(size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(fmt.Sprint(size)), Size: size}
	}
	for name, tc := range map[string]struct {
		reason string
		root   func(t *testing.T, in parts) ocispec.Descriptor
		want   error
		says   string
	}{
		"Missing": {"a blob that is named must be there", func(t *testing.T, in parts) ocispec.Descriptor { return in.image(t, nil, layer(7)) }, failure.ErrNotFound, "named and is not there"},
		"NoDigest": {"it cannot be found", func(_ *testing.T, _ parts) ocispec.Descriptor {
			return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:1", Size: 1}
		}, failure.ErrUnreadable, "not a digest"},
		"Negative": {"no part has fewer bytes than none", func(t *testing.T, in parts) ocispec.Descriptor { return in.image(t, nil, layer(-1)) }, failure.ErrUnreadable, "size is said to be -1"},
		"Overflow": {"their sum would be negative", func(t *testing.T, in parts) ocispec.Descriptor {
			in[layer(math.MaxInt64).Digest] = nil
			return in.image(t, nil, layer(math.MaxInt64), layer(math.MaxInt64-1))
		}, failure.ErrUnreadable, "size is said to be"},
		"Huge": {"it would fill the memory", func(_ *testing.T, in parts) ocispec.Descriptor {
			return in.add(ocispec.MediaTypeImageManifest, bytes.Repeat([]byte(" "), oci.MaxManifestBytes+1))
		}, failure.ErrUnreadable, "at most"},
		"Changed": {"it is another manifest", func(t *testing.T, in parts) ocispec.Descriptor {
			d := in.image(t, nil)
			in[d.Digest] = bytes.Replace(in[d.Digest], []byte("2"), []byte("3"), 1)
			return d
		}, failure.ErrUnreadable, ""},
		"ManyBytes": {"all manifests together would fill the memory", func(t *testing.T, in parts) ocispec.Descriptor {
			var children []ocispec.Descriptor
			for i := range 3 {
				children = append(children, in.addJSON(t, ocispec.MediaTypeImageManifest, map[string]any{
					"schemaVersion": 2, "config": in.add(ocispec.MediaTypeImageConfig, []byte("{}")), "annotations": map[string]string{"x": strings.Repeat(fmt.Sprint(i), 3<<20)},
				}))
			}
			return in.addJSON(t, ocispec.MediaTypeImageIndex, map[string]any{"schemaVersion": 2, "manifests": children})
		}, failure.ErrUnreadable, "have more than 8388608 bytes"},
		"ManyParts": {"no artifact has so many", func(t *testing.T, in parts) ocispec.Descriptor {
			var layers []ocispec.Descriptor
			for i := range 10_000 {
				layers = append(layers, in.add("x", fmt.Append(nil, i)))
			}
			return in.image(t, nil, layers...)
		}, failure.ErrUnreadable, "more than 10000 parts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := parts{}
			_, err := oci.SourceAt(t.Context(), oci.Place{Name: "a place", Storage: in}, tc.root(t, in))
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "a place") {
				t.Errorf("%s: %v, want %v that says %q", tc.reason, err, tc.want, tc.says)
			}
		})
	}
}

// Layers that may not be distributed are in no registry. A subject
// belongs to an artifact unless the artifact is read alone.
func TestWhatBelongsToASource(t *testing.T) {
	t.Parallel()
	in := parts{}
	foreign := ocispec.Descriptor{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: digest.FromString("elsewhere"), Size: 1000}
	subject := in.image(t, nil, in.add("x", []byte("of the subject")))
	root := in.image(t, &subject, foreign, in.add("x", []byte("own")))
	for _, alone := range []bool{false, true} {
		s, err := oci.SourceAt(t.Context(), oci.Place{Name: "a place", Storage: in, Alone: alone}, root)
		if err != nil {
			t.Fatal(err)
		}
		blobs, manifests := s.Parts()
		if got := slices.ContainsFunc(manifests, func(d ocispec.Descriptor) bool { return d.Digest == subject.Digest }); got == alone {
			t.Errorf("alone %t: the subject is part of it: %t", alone, got)
		}
		if slices.ContainsFunc(blobs, func(d ocispec.Descriptor) bool { return d.Digest == foreign.Digest }) || s.Size >= 2000 {
			t.Errorf("alone %t: a layer that is elsewhere is among %v", alone, blobs)
		}
		held, err := oci.ParseManifest(ocispec.MediaTypeImageManifest, in[root.Digest])
		if err != nil {
			t.Fatal(err)
		}
		of, err := oci.SourceOf(t.Context(), oci.Place{Name: "a place", Storage: in, Alone: alone}, held)
		if err != nil || of.Size != s.Size {
			t.Errorf("alone %t: from its root the source has %d bytes, want %d: %v", alone, of.Size, s.Size, err)
		}
	}
}

func TestReadingChecksWhatItReads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ stored, says string }{
		"Good": {"layer", ""}, "Changed": {"lAyer", "do not have this digest"}, "Cut": {"laye", "are fewer than the 5"}, "Grown": {"layers", "are more than the 5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := parts{}
			layer := in.add("x", []byte("layer"))
			s, err := oci.SourceAt(t.Context(), oci.Place{Name: "a place", Storage: in}, in.image(t, nil, layer))
			if err != nil {
				t.Fatal(err)
			}
			in[layer.Digest] = []byte(tc.stored)
			read := int64(0)
			r := s.Reading(func(n int64) { read += n }, time.Minute, false)
			if there, err := r.Exists(t.Context(), layer); err != nil || !there {
				t.Errorf("exists: %t, %v", there, err)
			}
			body, err := r.Fetch(t.Context(), layer)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(body)
			if failed := errors.Join(body.Close(), r.Failed()); tc.says != "" {
				if !errors.Is(err, failure.ErrUnreadable) || !strings.Contains(err.Error(), tc.says) || !errors.Is(failed, failure.ErrUnreadable) || len(data) >= 5 { // a registry must not take them for whole
					t.Errorf("read %q, %v, and the copy failed with %v", data, err, failed)
				}
				return
			} else if err != nil || failed != nil || string(data) != "layer" || read != 5 {
				t.Errorf("read %q, %d bytes counted, %v, %v", data, read, err, failed)
			}
		})
	}
}

// silent is storage that sends nothing until the request ends.
type silent struct{ parts }

func (silent) Fetch(ctx context.Context, _ ocispec.Descriptor) (io.ReadCloser, error) {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	return r, nil
}

func TestABlobThatStandsStillEnds(t *testing.T) {
	t.Parallel()
	in := parts{}
	layer := in.add("x", []byte("layer"))
	root, err := oci.ParseManifest(ocispec.MediaTypeImageManifest, in[in.image(t, nil, layer).Digest])
	if err != nil {
		t.Fatal(err)
	}
	s, err := oci.SourceOf(t.Context(), oci.Place{Name: "a place", Storage: silent{in}}, root)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Reading(func(int64) {}, 10*time.Millisecond, false)
	body, err := r.Fetch(t.Context(), layer)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(body)
	if !errors.Is(err, failure.ErrUnavailable) || !strings.Contains(err.Error(), "stands still") || !errors.Is(r.Failed(), failure.ErrUnavailable) {
		t.Errorf("%v, and the copy failed with %v", err, r.Failed())
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

// broken is storage whose connection breaks.
type broken struct{ parts }

func (broken) Fetch(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(iotest.ErrReader(errors.New("connection reset"))), nil
}

// Only if a registry stops sending is the error ErrUnavailable, because another try can help.
func TestALineThatBreaksIsUnavailable(t *testing.T) {
	t.Parallel()
	in := parts{}
	layer := in.add("x", []byte("layer"))
	root, err := oci.ParseManifest(ocispec.MediaTypeImageManifest, in[in.image(t, nil, layer).Digest])
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "registry.example.com"} {
		s, err := oci.SourceOf(t.Context(), oci.Place{Name: "a place", Storage: broken{in}, Host: host}, root)
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.Open(t.Context(), layer, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(body)
		if unavailable := errors.Is(err, failure.ErrUnavailable); err == nil || unavailable != (host != "") {
			t.Errorf("at the host %q: %v", host, err)
		}
	}
}
