package oci_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// This test finds a wrong choice of an index's children, also if one index leaves out a child that another index has.
func TestSelection(t *testing.T) {
	p := parts{}
	layer := func(text string) ocispec.Descriptor { return p.add(ocispec.MediaTypeImageLayer, []byte(text)) }
	of := func(d ocispec.Descriptor, architecture string) ocispec.Descriptor {
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		return d
	}
	amd, arm, ppc := p.image(t, nil, layer("amd")), p.image(t, nil, layer("arm")), p.image(t, nil, layer("ppc"))
	inner := p.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{arm, of(amd, "amd64")}})
	root := p.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{of(arm, "arm64"), of(ppc, "ppc64le"), inner}})
	amd64 := platform.List{{OS: "linux", Architecture: "amd64"}}
	without := func(gone ...ocispec.Descriptor) parts {
		left := parts{}
		for d, data := range p {
			if !slices.ContainsFunc(gone, func(g ocispec.Descriptor) bool { return g.Digest == d }) {
				left[d] = data
			}
		}
		return left
	}
	read := func(in parts, s oci.Selection) (*oci.Source, error) {
		return oci.SourceAt(t.Context(), oci.Place{Name: "test", Storage: in, Selection: s}, root)
	}
	some, err := read(without(ppc), oci.Selection{Platforms: amd64})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		reason    string
		in        parts
		selection oci.Selection
		absent    []ocispec.Descriptor
		err       error
	}{
		{"all", p, oci.Selection{}, nil, nil},
		{"not all is there", without(ppc), oci.Selection{}, nil, failure.ErrNotFound},
		{"what the other index has without a platform is chosen", p, oci.Selection{Platforms: amd64}, []ocispec.Descriptor{ppc}, nil},
		{"a chosen child is not there", without(amd), oci.Selection{Platforms: amd64}, nil, failure.ErrNotFound},
		{"only one without a platform is chosen", p, oci.Selection{Platforms: platform.List{{OS: "windows", Architecture: "amd64"}}}, []ocispec.Descriptor{amd, ppc}, nil},
		{"sparse, and all is there", p, oci.Selection{Sparse: true}, nil, nil},
		{"sparse", without(ppc, arm), oci.Selection{Sparse: true}, []ocispec.Descriptor{arm, ppc}, nil},
		{"sparse, and a child lacks a layer", without(layer("arm")), oci.Selection{Sparse: true}, nil, failure.ErrNotFound},
		{"sparse, and nothing is there", without(amd, arm, ppc), oci.Selection{Sparse: true}, nil, failure.ErrNotFound},
		{"sparse, without the root", without(root), oci.Selection{Sparse: true}, nil, failure.ErrNotFound},
		{"as in another place", without(ppc), oci.Selection{Of: some}, []ocispec.Descriptor{ppc}, nil},
		{"less than in another place", without(ppc, arm), oci.Selection{Of: some}, nil, failure.ErrNotFound},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			s, err := read(tt.in, tt.selection)
			if tt.err != nil || err != nil {
				if tt.err == nil || !errors.Is(err, tt.err) {
					t.Errorf("%v, want %v", err, tt.err)
				}
				return
			}
			var want []digest.Digest
			for _, d := range tt.absent {
				want = append(want, d.Digest)
			}
			if slices.Sort(want); !slices.Equal(s.Absent(), want) {
				t.Errorf("absent are %v, want %v", s.Absent(), want)
			}
			if n := len(s.PartsOf(root.Digest)) + len(s.PartsOf(inner.Digest)); n != 5-countIn(want, amd, ppc, arm, arm) {
				t.Errorf("%d children belong to it", n)
			}
		})
	}
}

// countIn counts the descriptors whose digest is in a list.
func countIn(in []digest.Digest, all ...ocispec.Descriptor) (n int) {
	for _, d := range all {
		if slices.Contains(in, d.Digest) {
			n++
		}
	}
	return n
}

// An image must be copied whatever the platforms of the index that is its subject.
func TestASubjectHasNoSayInPlatforms(t *testing.T) {
	p := parts{}
	other := p.image(t, nil, p.add(ocispec.MediaTypeImageLayer, []byte("arm")))
	other.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	subject := p.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{other}})
	root := p.image(t, &subject, p.add(ocispec.MediaTypeImageLayer, []byte("attached")))
	amd64 := oci.Selection{Platforms: platform.List{{OS: "linux", Architecture: "amd64"}}}
	if _, err := oci.SourceAt(t.Context(), oci.Place{Name: "test", Storage: p, Selection: amd64}, root); err != nil {
		t.Error(err)
	}
	if _, err := oci.SourceAt(t.Context(), oci.Place{Name: "test", Storage: p, Selection: amd64}, subject); !errors.Is(err, platform.ErrNone) {
		t.Errorf("of the index alone: %v", err)
	}
}

// A crafted index may name a digest first as a layer, or as a layer that is stored elsewhere, and then as what it is.
func TestADigestThatIsNamedInTwoWays(t *testing.T) {
	for name, first := range map[string]string{
		"Layer": ocispec.MediaTypeImageLayer, "Elsewhere": "application/vnd.oci.image.layer.nondistributable.v1.tar", "Unknown": "text/plain",
	} {
		t.Run(name, func(t *testing.T) {
			p := parts{}
			layer := p.add(ocispec.MediaTypeImageLayer, []byte("a layer of the image that is named twice"))
			image := p.image(t, nil, layer)
			twice, plain := image, p.add(ocispec.MediaTypeImageLayer, []byte("plain"))
			twice.MediaType = first
			decoy := plain
			decoy.MediaType = first
			first := p.image(t, nil, twice, decoy)
			inner := p.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{image, p.image(t, nil, plain)}})
			root := p.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{first, inner}})
			s, err := oci.SourceAt(t.Context(), oci.Place{Name: "test", Storage: p}, root)
			if err != nil {
				t.Fatal(err)
			}
			blobs, manifests := s.Parts()
			has := func(all []ocispec.Descriptor, d ocispec.Descriptor) bool {
				return slices.ContainsFunc(all, func(o ocispec.Descriptor) bool { return o.Digest == d.Digest })
			}
			if !has(manifests, image) || !has(blobs, layer) || !has(blobs, plain) {
				t.Errorf("its parts are %v, %v", manifests, blobs)
			}
			var size int64
			for _, data := range p {
				size += int64(len(data))
			}
			if s.Size != size {
				t.Errorf("its size is %d, want %d: each part once", s.Size, size)
			}
			for _, part := range []ocispec.Descriptor{layer, plain} {
				data := p[part.Digest]
				delete(p, part.Digest)
				if _, err := oci.SourceAt(t.Context(), oci.Place{Name: "test", Storage: p}, root); !errors.Is(err, failure.ErrNotFound) {
					t.Errorf("without %s: %v, want ErrNotFound", part.Digest, err)
				}
				p[part.Digest] = data
			}
		})
	}
}
