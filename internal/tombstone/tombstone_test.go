package tombstone

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func manifest(uid types.UID) *v1alpha1.ArtifactManifest {
	return &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "upf", UID: uid}}
}

// An interrupted release finds its tombstone again, and artifacts with different grace periods never share a tombstone.
func TestI4NamesAreStableAndApart(t *testing.T) {
	t.Parallel()
	names := map[string]string{}
	for what, name := range map[string]string{
		"released":                  Name(manifest("1"), v1alpha1.CauseReleased, ""),
		"released by another UID":   Name(manifest("2"), v1alpha1.CauseReleased, ""),
		"an entry":                  Name(manifest("1"), v1alpha1.CauseRemoved, "acme/upf/a:1"),
		"another entry":             Name(manifest("1"), v1alpha1.CauseRemoved, "acme/upf/b:1"),
		"an overwritten digest":     Name(manifest("1"), v1alpha1.CauseOverwritten, "acme/upf/a:1@sha256:a"),
		"another one":               Name(manifest("1"), v1alpha1.CauseOverwritten, "acme/upf/a:1@sha256:b"),
		"an entry with that digest": Name(manifest("1"), v1alpha1.CauseRemoved, "acme/upf/a:1@sha256:a"),
	} {
		if other, taken := names[name]; taken {
			t.Errorf("%s and %s share the tombstone %s", what, other, name)
		}
		if len(name) > 253 {
			t.Errorf("the name of %s has %d bytes", what, len(name))
		}
		names[name] = what
	}
	if a, b := Name(manifest("1"), v1alpha1.CauseReleased, "x"), Name(manifest("1"), v1alpha1.CauseReleased, "y"); a != b {
		t.Errorf("one release has the tombstones %s and %s", a, b)
	}
}

// A tombstone contains everything that a restore needs, even after the manifest and the store were deleted.
func TestATombstoneStandsAlone(t *testing.T) {
	t.Parallel()
	m, s := manifest("1"), &v1alpha1.ArtifactStore{}
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "a", ArtifactVersion: "1"}}
	s.Spec.Registry.URL = "https://registry.example.com/acme"
	s.Spec.Purge.GracePeriod.Duration = time.Hour
	got := New(m, s, v1alpha1.CauseReleased, "name")
	if got.Namespace != "ns" || got.Name != "name" || got.Spec.RegistryURL != "https://registry.example.com/acme" || got.Spec.GracePeriod.Duration != time.Hour ||
		got.Spec.Manifest.Name != "upf" || got.Spec.Manifest.UID != "1" || len(got.Spec.Manifest.Spec.Artifacts) != 1 || got.Spec.Cause != v1alpha1.CauseReleased {
		t.Errorf("it is %+v", got)
	}
	if len(got.Spec.Artifacts) != 0 {
		t.Error("it has digests that nobody has seen")
	}
	if d := RestoredDigest(v1alpha1.TombstoneArtifact{Digests: []string{"sha256:part", "sha256:old", "sha256:last"}}); d != "sha256:last" {
		t.Errorf("a restore takes %s", d)
	}
}
