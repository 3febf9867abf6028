package oci_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// layoutIn opens the layout in a folder.
func layoutIn(t *testing.T, folder string) *oci.Layout {
	t.Helper()
	l, err := oci.OpenLayout(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// opened returns the layout in a folder, and its first image.
func opened(t *testing.T, folder string) (*oci.Layout, *oci.Source) {
	t.Helper()
	l := layoutIn(t, folder)
	s, err := l.Source(t.Context(), l.Images[0])
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

// A layout has signatures in three forms: with the tag of cosign, next to the image
// as `cosign save` writes them, and as a manifest that references its subject.
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
	putIndex(t, folder, named(image, "1.0.0"), named(other, "2.0.0"), named(tagged, "example.com/app:"+sig), beside, referrer, counter,
		named(putImage(t, folder, "named", &other), "3.0.0"))
	l, s := opened(t, folder)
	all, err := l.Satellites(t.Context(), l.Images[0], s)
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
	for i, want := range []bool{false, false, true, true, true, true, false} {
		if attached, err := l.IsSatellite(t.Context(), l.Images[i]); err != nil || attached != want {
			t.Errorf("entry %d, %q, is attached: %t, want %t: %v", i, oci.ImageName(l.Images[i]), attached, want, err)
		}
	}
}

// One digest can be in two repositories, and have a different signer in each.
func TestASignatureIsOfItsRepository(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "app")
	image, one, other := putImage(t, folder, "image", nil), putImage(t, folder, "one", nil), putImage(t, folder, "other", nil)
	sig := oci.ReferrersTag(image.Digest) + ".sig"
	whole := func(d ocispec.Descriptor, name, tag string) ocispec.Descriptor {
		d.Annotations = map[string]string{oci.ImageNameAnnotation: name, ocispec.AnnotationRefName: tag}
		return d
	}
	saved := one
	saved.Annotations = map[string]string{"kind": "dev.cosignproject.cosign/sigs"}
	for name, tc := range map[string]struct {
		reason string
		image  string
		beside []ocispec.Descriptor
		want   digest.Digest
	}{
		"Own":         {"its own goes first", "r.example/a:1", []ocispec.Descriptor{named(other, "r.example/b:"+sig), named(one, "r.example/a:"+sig)}, one.Digest},
		"Whole":       {"as containerd writes the names", "r.example/a:1", []ocispec.Descriptor{whole(other, "r.example/b:"+sig, sig+"x"), whole(one, "r.example/a:"+sig, sig)}, one.Digest},
		"NotAnothers": {"it has none", "r.example/a:1", []ocispec.Descriptor{named(other, "r.example/b:"+sig)}, ""},
		"Longer":      {"another repository ends alike", "r.example/a:1", []ocispec.Descriptor{named(other, "r.example/x/r.example/a:"+sig)}, ""},
		"Port":        {"a port is not a tag", "r.example:5000/a@" + image.Digest.String(), []ocispec.Descriptor{named(other, "r.example:"+sig), named(one, "r.example:5000/a:"+sig)}, one.Digest},
		"Bare":        {"a tag alone says no other repository", "r.example/a:1", []ocispec.Descriptor{named(other, "r.example/b:"+sig), named(one, sig)}, one.Digest},
		"Saved":       {"nor does what cosign has saved", "r.example/a:1", []ocispec.Descriptor{named(other, "r.example/b:"+sig), saved}, one.Digest},
		"NoName":      {"an image by its tag alone can be of that repository", "1", []ocispec.Descriptor{named(one, "r.example/b:"+sig)}, one.Digest},
		"ByDigest":    {"or by its digest", image.Digest.String(), []ocispec.Descriptor{named(one, "r.example/b:"+sig)}, one.Digest},
		"BareFirst":   {"but not rather than of none", "1", []ocispec.Descriptor{named(other, "r.example/b:"+sig), named(one, sig)}, one.Digest},
	} {
		putIndex(t, folder, append([]ocispec.Descriptor{named(image, tc.image)}, tc.beside...)...)
		l, s := opened(t, folder)
		all, err := l.Satellites(t.Context(), l.Images[0], s)
		var got digest.Digest
		for _, one := range all {
			got += one.Source.Root.Descriptor.Digest
		}
		if got != tc.want || err != nil {
			t.Errorf("%s: %s: attached is %q, %v, want %q", name, tc.reason, got, err, tc.want)
		}
	}
}

// An entry that cannot be read must be an error, because it may be a
// signature. The subject of an entry may be missing in the layout.
func TestAnUnreadableEntryMayBeASignature(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		spoil  func(t *testing.T, folder string, referrer, subject digest.Digest)
		want   error
	}{
		"Whole":   {"all is there", func(*testing.T, string, digest.Digest, digest.Digest) {}, nil},
		"Missing": {"the referrer is listed alone", func(t *testing.T, folder string, d, _ digest.Digest) { t.Helper(); remove(t, blobFile(folder, d)) }, failure.ErrNotFound},
		"Short": {"or was cut off", func(t *testing.T, folder string, d, _ digest.Digest) {
			t.Helper()
			write(t, blobFile(folder, d), []byte("{"))
		}, failure.ErrUnreadable},
		"Subject": {"a signature of what is elsewhere", func(t *testing.T, folder string, _, d digest.Digest) { t.Helper(); remove(t, blobFile(folder, d)) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "app")
			image, elsewhere := putImage(t, folder, "image", nil), putImage(t, folder, "elsewhere", nil)
			referrer, other := putImage(t, folder, "referrer", &image), putImage(t, folder, "other", &elsewhere)
			putIndex(t, folder, named(image, "1.0.0"), referrer, other)
			tc.spoil(t, folder, referrer.Digest, elsewhere.Digest)
			l, s := opened(t, folder)
			if all, err := l.Satellites(t.Context(), l.Images[0], s); !errors.Is(err, tc.want) || err == nil && len(all) != 1 {
				t.Errorf("%s: attached are %d, %v, want %v", tc.reason, len(all), err, tc.want)
			}
		})
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// The manifests of a layout must be read only once for all its images, even concurrently.
func TestALayoutIsReadOnce(t *testing.T) {
	t.Parallel()
	const images = 20
	folder := filepath.Join(t.TempDir(), "app")
	var entries []ocispec.Descriptor
	for i := range images {
		image := putImage(t, folder, fmt.Sprint("image ", i), nil)
		entries = append(entries, named(image, fmt.Sprint(i)), putImage(t, folder, fmt.Sprint("referrer ", i), &image))
	}
	putIndex(t, folder, entries...)
	l := layoutIn(t, folder)
	var sources []*oci.Source
	for i := range images {
		s, err := l.Source(t.Context(), l.Images[2*i])
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	fetched := oci.CountFetches(l)
	var looks errgroup.Group
	for i, s := range sources {
		looks.Go(func() error {
			all, err := l.Satellites(t.Context(), l.Images[2*i], s)
			if err == nil && len(all) != 1 {
				err = fmt.Errorf("image %d has %d satellites", i, len(all))
			}
			return err
		})
	}
	if err := looks.Wait(); err != nil {
		t.Error(err)
	}
	if n := fetched.Load(); n != 3*images { // each entry once, and each satellite again when it is loaded
		t.Errorf("%d manifests were read of %d", n, 2*images)
	}
}

// An entry without a name is left out if other entries have names
// and it is copied with one of them or attached to an entry.
func TestStrays(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "app")
	image, subject, alone := putImage(t, folder, "image", nil), putImage(t, folder, "subject", nil), putImage(t, folder, "alone", nil)
	index := func(children ...ocispec.Descriptor) ocispec.Descriptor {
		return putJSON(t, folder, ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
	}
	missing := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("missing"), Size: 7}
	for name, tc := range map[string]struct {
		reason  string
		entries []ocispec.Descriptor
		want    []digest.Digest
	}{
		"Alone":     {"an image of its own", []ocispec.Descriptor{named(image, "1"), alone}, []digest.Digest{alone.Digest}},
		"Part":      {"oras lists the platforms of an index", []ocispec.Descriptor{named(index(image, index(alone)), "1"), image, index(alone), alone}, nil},
		"Sparse":    {"an index with a platform that is elsewhere", []ocispec.Descriptor{named(index(image, missing), "1"), image}, nil},
		"Missing":   {"nobody knows what it was", []ocispec.Descriptor{named(image, "1"), missing}, []digest.Digest{missing.Digest}},
		"Satellite": {"it goes with its subject", []ocispec.Descriptor{named(image, "1"), putImage(t, folder, "referrer", &image)}, nil},
		"Subject":   {"an image goes with its subject", []ocispec.Descriptor{named(putImage(t, folder, "derived", &subject), "1"), subject}, nil},
		"Dangling":  {"a satellite goes without", []ocispec.Descriptor{named(image, "1"), putImage(t, folder, "of the subject", &subject), subject}, []digest.Digest{subject.Digest}},
		"Other":     {"nor can anyone say what this is", []ocispec.Descriptor{named(image, "1"), put(t, folder, "text/plain", []byte("x"))}, []digest.Digest{digest.FromString("x")}},
	} {
		putIndex(t, folder, tc.entries...)
		l := layoutIn(t, folder)
		strays, err := l.Strays(t.Context())
		var got []digest.Digest
		for _, d := range strays {
			got = append(got, d.Digest)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s: %s: error %v (-want +got):\n%s", name, tc.reason, err, diff)
		}
	}
}

// A satellite that cannot be read completely must be an error. It must not be skipped.
func TestADamagedSatelliteIsAnError(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "app")
	image := putImage(t, folder, "image", nil)
	sig := putImage(t, folder, "sig", nil)
	putIndex(t, folder, named(image, "1.0.0"), named(sig, oci.ReferrersTag(image.Digest)+".sig"))
	l, s := opened(t, folder)
	write(t, blobFile(folder, sig.Digest), []byte("{}"))
	if all, err := l.Satellites(t.Context(), l.Images[0], s); !errors.Is(err, failure.ErrUnreadable) || all != nil {
		t.Errorf("%v, %v, want ErrUnreadable", all, err)
	}
}

// chain attaches another digest, or many, to each digest.
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
