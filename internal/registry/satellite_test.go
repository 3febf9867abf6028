package registry_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// clientOf opens a client of a registry of this test.
func clientOf(t *testing.T, r *registrytest.Registry) *registry.Client {
	t.Helper()
	c, err := registry.Open(registry.Config{Location: r.Location(""), Addresses: registry.RemoteAndLoopback})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// signedIndex pushes an index of two platforms. The index has a signature of cosign,
// and a bundle that has a signature itself. One platform has an SBOM as a referrer
// and an attestation of cosign. It returns the satellites, by their subjects.
func signedIndex(t *testing.T, r *registrytest.Registry, repository string) (root ocispec.Descriptor, attached []string) {
	t.Helper()
	root, err := registrytest.PushIndex(t.Context(), r.Host, repository, "1.0.0", []string{"linux/amd64", "linux/arm64"}, "signed")
	if err != nil {
		t.Fatal(err)
	}
	m, err := clientOf(t, r).Manifest(t.Context(), repository, root.Digest)
	if err != nil {
		t.Fatal(err)
	}
	add := func(subject, d ocispec.Descriptor, tag string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		attached = append(attached, fmt.Sprintf("%s %s %s", subject.Digest, tag, d.Digest))
	}
	tag := func(subject ocispec.Descriptor, suffix string) {
		name := "sha256-" + subject.Digest.Encoded() + suffix
		d, err := registrytest.PushImage(t.Context(), r.Host, repository, name, suffix)
		add(subject, d, name, err)
	}
	refer := func(subject ocispec.Descriptor, artifactType string) ocispec.Descriptor {
		d, err := registrytest.PushReferrer(t.Context(), r.Host, repository, subject, artifactType, []byte(artifactType+subject.Digest.String()))
		add(subject, d, "", err)
		return d
	}
	tag(root, ".sig")
	tag(m.Children[1], ".att")
	refer(refer(root, bundleType), "application/vnd.example.countersignature")
	refer(m.Children[0], "application/spdx+json")
	slices.Sort(attached)
	return root, attached
}

func listed(all []registry.Satellite) []string {
	var got []string
	for _, s := range all {
		got = append(got, fmt.Sprintf("%s %s %s", s.Subject, s.Tag, s.Source.Root.Descriptor.Digest))
	}
	slices.Sort(got)
	return got
}

// carry copies an artifact with all its satellites, and returns the satellites at the new place.
func carry(t *testing.T, to *registry.Client, repository string, s *registry.Source, all []registry.Satellite) []string {
	t.Helper()
	none := func(int64) {}
	err := to.Copy(t.Context(), repository, s, none)
	for _, one := range all {
		err = errors.Join(err, to.Copy(t.Context(), repository, one.Source, none), to.Attach(t.Context(), repository, one, ""))
	}
	err = errors.Join(err, to.Tag(t.Context(), repository, "1.0.0", s, ""))
	for _, one := range all {
		there, attachedErr := to.Attached(t.Context(), repository, one)
		err = errors.Join(err, attachedErr, to.Verify(t.Context(), repository, one.Tag, one.Source.Root.Descriptor))
		if !there {
			err = errors.Join(err, fmt.Errorf("%s is not attached", one.Source.Root.Descriptor.Digest))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	copied, err := to.Source(t.Context(), repository, "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	found, err := to.Satellites(t.Context(), repository, copied)
	if err != nil {
		t.Fatal(err)
	}
	return listed(found)
}

// A signed index is copied from registry to registry to layout
// and back, whether or not each of them has the referrers API.
func TestSatellitesGoWithTheirImage(t *testing.T) {
	t.Parallel()
	for name, apis := range map[string][3]bool{"NoAPI": {}, "API": {true, true, true}, "Gained": {false, true, false}, "Lost": {true, false, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all [3]*registrytest.Registry
			for i, has := range apis {
				if all[i] = registrytest.Start(t); has {
					all[i].ServeReferrers()
				}
			}
			root, want := signedIndex(t, all[0], "team/app")
			c := clientOf(t, all[0])
			s, err := c.Source(t.Context(), "team/app", "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			found, err := c.Satellites(t.Context(), "team/app", s)
			if diff := cmp.Diff(want, listed(found)); diff != "" || err != nil {
				t.Fatalf("found (-want +got): %v\n%s", err, diff)
			}
			if diff := cmp.Diff(want, carry(t, clientOf(t, all[1]), "acme/app", s, found)); diff != "" {
				t.Errorf("at the second registry (-want +got):\n%s", diff)
			}

			folder := filepath.Join(t.TempDir(), "app")
			if err := registrytest.WriteWholeLayout(t.Context(), all[1].Host, "acme/app", "1.0.0", folder, "1.0.0"); err != nil {
				t.Fatal(err)
			}
			for _, platform := range s.Root.Children {
				if err := registrytest.WriteWholeLayout(t.Context(), all[1].Host, "acme/app", platform.Digest.String(), folder, platform.Digest.String()); err != nil {
					t.Fatal(err)
				}
			}
			for _, one := range found {
				if one.Tag != "" {
					if err := registrytest.WriteLayout(t.Context(), all[1].Host, "acme/app", one.Tag, folder, one.Tag); err != nil {
						t.Fatal(err)
					}
				}
			}
			l, err := oci.OpenLayout(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			image := l.Images[slices.IndexFunc(l.Images, func(d ocispec.Descriptor) bool { return d.Digest == root.Digest })]
			s, err = l.Source(t.Context(), image)
			if err != nil {
				t.Fatal(err)
			}
			found, err = l.Satellites(t.Context(), image, s)
			if diff := cmp.Diff(want, listed(found)); diff != "" || err != nil {
				t.Fatalf("in the layout (-want +got): %v\n%s", err, diff)
			}
			if diff := cmp.Diff(want, carry(t, clientOf(t, all[2]), "back/app", s, found)); diff != "" {
				t.Errorf("back in a registry (-want +got):\n%s", diff)
			}
			alone := map[digest.Digest]bool{}
			for _, d := range l.Images {
				attached, err := l.IsSatellite(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				if !attached {
					alone[d.Digest] = true
				}
			}
			if !alone[root.Digest] || len(alone) > 3 { // and its two platforms
				t.Errorf("the images of the layout are %v", slices.Collect(maps.Keys(alone)))
			}
		})
	}
}

// The list at the referrers tag must keep the entries that others have added.
func TestAttachingKeepsTheReferrersOfOthers(t *testing.T) {
	t.Parallel()
	from, to := registrytest.Start(t), registrytest.Start(t)
	_, want := signedIndex(t, from, "app")
	c := clientOf(t, from)
	s, err := c.Source(t.Context(), "app", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Satellites(t.Context(), "app", s)
	if err != nil {
		t.Fatal(err)
	}
	if err := clientOf(t, to).Copy(t.Context(), "app", s, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	theirs, err := registrytest.PushReferrer(t.Context(), to.Host, "app", s.Root.Descriptor, "application/vnd.example.theirs", []byte("theirs"))
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, fmt.Sprintf("%s  %s", s.Root.Descriptor.Digest, theirs.Digest))
	slices.Sort(want)
	if diff := cmp.Diff(want, carry(t, clientOf(t, to), "app", s, found)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// It must be known whether there is a signature: an answer that proves nothing must not count as "none".
func TestSatellitesThatCannotBeLookedForAreAnError(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{"Tag": ".sig", "Referrers": "/referrers/", "ReferrersTag": "/manifests/sha256-"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := registrytest.Start(t)
			signedIndex(t, r, "app")
			c := clientOf(t, r)
			s, err := c.Source(t.Context(), "app", "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.Contains(req.URL.Path, at) {
					return false
				}
				w.WriteHeader(http.StatusBadGateway)
				return true
			})
			if found, err := c.Satellites(t.Context(), "app", s); err == nil {
				t.Errorf("found are %v", listed(found))
			}
		})
	}
}

func TestTooManySatellites(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	d, err := registrytest.PushImage(t.Context(), r.Host, "app", "1.0.0", "one")
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		if d, err = registrytest.PushReferrer(t.Context(), r.Host, "app", d, "application/vnd.example.chain", []byte(d.Digest)); err != nil {
			t.Fatal(err)
		}
	}
	c := clientOf(t, r)
	s, err := c.Source(t.Context(), "app", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Satellites(t.Context(), "app", s); !errors.Is(err, registry.ErrUnreadable) || !strings.Contains(err.Error(), "deep") {
		t.Errorf("a chain of six: %v", err)
	}
}
