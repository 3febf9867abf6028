package oci_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// A layout has signatures in three forms: by the tag of cosign, beside the image as `cosign save` writes it, and as a
// manifest that names its subject.
func TestSatellitesOfALayout(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "app")
	image := putImage(t, folder, "image", nil)
	other := putImage(t, folder, "other", nil)
	tagged := putImage(t, folder, "tagged", nil)
	saved := putImage(t, folder, "saved", nil)
	referrer := putImage(t, folder, "referrer", &image)
	counter := putImage(t, folder, "countersignature", &referrer)
	beside := saved
	beside.Annotations = map[string]string{"kind": "dev.cosignproject.cosign/atts"}
	sig := oci.ReferrersTag(image.Digest) + ".sig"
	putIndex(t, folder, named(image, "1.0.0"), named(other, "2.0.0"), named(tagged, "example.com/app:"+sig), beside, referrer, counter)
	l, err := oci.OpenLayout(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s, err := l.Source(t.Context(), l.Images[0])
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.Satellites(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range all {
		got = append(got, fmt.Sprintf("%s %s %s", one.Subject, one.Tag, one.Source.Root.Descriptor.Digest))
		if !one.In([]ocispec.Descriptor{image, one.Source.Root.Descriptor}) || one.In([]ocispec.Descriptor{image}) {
			t.Errorf("whether a list has %s is not said", one.Source.Root.Descriptor.Digest)
		}
	}
	want := []string{
		fmt.Sprintf("%s %s %s", image.Digest, sig, tagged.Digest),
		fmt.Sprintf("%s %s.att %s", image.Digest, oci.ReferrersTag(image.Digest), saved.Digest),
		fmt.Sprintf("%s  %s", image.Digest, referrer.Digest),
		fmt.Sprintf("%s  %s", referrer.Digest, counter.Digest),
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attached are (-want +got):\n%s", diff)
	}
	for i, want := range []bool{false, false, true, true, true, true} {
		if attached, err := l.IsSatellite(t.Context(), l.Images[i]); err != nil || attached != want {
			t.Errorf("entry %d, %q, is attached: %t, want %t: %v", i, oci.ImageName(l.Images[i]), attached, want, err)
		}
	}
}

// A satellite that cannot be read whole is an error, and not a satellite less.
func TestADamagedSatelliteIsAnError(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "app")
	image := putImage(t, folder, "image", nil)
	sig := putImage(t, folder, "sig", nil)
	putIndex(t, folder, named(image, "1.0.0"), named(sig, oci.ReferrersTag(image.Digest)+".sig"))
	l, err := oci.OpenLayout(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s, err := l.Source(t.Context(), l.Images[0])
	if err != nil {
		t.Fatal(err)
	}
	write(t, blobFile(folder, sig.Digest), []byte("{}"))
	if all, err := l.Satellites(t.Context(), s); !errors.Is(err, failure.ErrUnreadable) || all != nil {
		t.Errorf("%v, %v, want ErrUnreadable", all, err)
	}
}

// chain attaches to each digest another one, or many.
type chain struct {
	in       parts
	t        *testing.T
	per, all int
	fails    error
}

func (c *chain) At(context.Context, digest.Digest, string) (ocispec.Descriptor, bool, error) {
	return ocispec.Descriptor{}, false, c.fails
}

func (c *chain) About(context.Context, ocispec.Descriptor) (found []ocispec.Descriptor, err error) {
	for range c.per {
		c.all++
		found = append(found, c.in.image(c.t, nil, c.in.add("x", fmt.Append(nil, c.all))))
	}
	return found, nil
}

func (c *chain) Load(ctx context.Context, d ocispec.Descriptor) (*oci.Source, error) {
	return oci.SourceAt(ctx, oci.Place{Name: "a place", Storage: c.in, Alone: true}, d)
}

func TestSatellitesAreBounded(t *testing.T) {
	t.Parallel()
	denied := errors.New("denied")
	for name, tc := range map[string]struct {
		of   *chain
		want error
		says string
	}{
		"Deep":   {&chain{per: 1}, failure.ErrUnreadable, "more than 4 deep"},
		"Many":   {&chain{per: 1001}, failure.ErrUnreadable, "more than 1000 referrers"},
		"Denied": {&chain{fails: denied}, denied, "denied"},
	} {
		tc.of.in, tc.of.t = parts{}, t
		s, err := oci.SourceAt(t.Context(), oci.Place{Name: "a place", Storage: tc.of.in}, tc.of.in.image(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		if all, err := oci.Satellites(t.Context(), tc.of, s); !errors.Is(err, tc.want) || all != nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %v, want one that says %q", name, all, err, tc.says)
		}
	}
	none, err := oci.Satellites(t.Context(), &chain{in: parts{}, t: t}, mustPack(t))
	if err != nil || none != nil {
		t.Errorf("without any: %v, %v", none, err)
	}
}

func mustPack(t *testing.T) *oci.Source {
	t.Helper()
	s, err := oci.Pack(t.Context(), "packed", oci.Blob{MediaType: "x", Data: []byte("{}")}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnitedHasEachDigestOnce(t *testing.T) {
	t.Parallel()
	a, b, c := ocispec.Descriptor{Digest: "a"}, ocispec.Descriptor{Digest: "b"}, ocispec.Descriptor{Digest: "c"}
	if diff := cmp.Diff([]ocispec.Descriptor{a, b, c}, oci.United([]ocispec.Descriptor{a, b, a}, []ocispec.Descriptor{b, c})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
