package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	chartcontroller "github.com/nfo-operator/nfo/internal/controller/chart"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/registry"
)

// charted returns a manifest with nginx:1.0.0 and the chart app:1.0.0, which needs the given images.
func charted(images ...v1alpha1.ChartImage) manifestSeen {
	return observed(func(s *manifestSeen) {
		s.manifest.Spec.Artifacts = append(s.manifest.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "app", ArtifactVersion: "1.0.0"})
		chart := v1alpha1.ArtifactStatus{
			ArtifactName: "app", ArtifactVersion: "1.0.0", Repository: "acme/m/app", Digest: "sha256:c",
			State: v1alpha1.ArtifactPresent, ConfigMediaType: chart.ConfigMediaType,
		}
		s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a"), chart}
		s.read = chartcontroller.Reading{Charts: map[inventory.Entry]v1alpha1.ChartStatus{{Name: "app", Version: "1.0.0"}: {ArtifactName: "app", ArtifactVersion: "1.0.0", Digest: "sha256:c", Images: images}}}
		s.elsewhere.Catalogue = inventory.Catalogue{
			"lib": {
				{Manifest: "base", Artifact: "lib", Repository: "acme/base/lib", Version: "1", Digest: "sha256:l"},
				{Manifest: "alt", Artifact: "lib", Repository: "acme/alt/lib", Version: "1", Digest: "sha256:l"},
			},
			"nginx": {{Manifest: "copy", Artifact: "nginx", Repository: "acme/copy/nginx", Version: "1.0.0", Digest: "sha256:x"}},
			"old":   {{Manifest: "was", Artifact: "team/old", Repository: "acme/team/old", Version: "1"}},
		}
	})
}

func ours(image string) v1alpha1.ChartImage {
	return v1alpha1.ChartImage{Image: image, State: v1alpha1.ImageMissing}
}

func TestWhereImagesAre(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		image  v1alpha1.ChartImage
		want   string // state, manifest, repository, digest
	}{
		"ByManifest":     {"the registry that is set is the manifest's path", ours("nginx:1.0.0"), "InManifest  acme/m/nginx sha256:a"},
		"ByStore":        {"it is the store's URL", ours("m/nginx:1.0.0"), "InManifest  acme/m/nginx sha256:a"},
		"ByHost":         {"it is the host alone", ours("acme/m/nginx:1.0.0"), "InManifest  acme/m/nginx sha256:a"},
		"OtherVersion":   {"a tag is compared whole", ours("nginx:1.0"), "Missing   "},
		"NoVersion":      {"any may be meant", ours("nginx"), "InManifest  acme/m/nginx sha256:a"},
		"Digest":         {"a digest is the image, whatever the tag", ours("nginx:9@sha256:a"), "InManifest  acme/m/nginx sha256:a"},
		"OtherDigest":    {"nothing else is, but the tag's image may contain it", ours("nginx:1.0.0@sha256:b"), "Missing  acme/m/nginx "},
		"DigestCounts":   {"who has the digest goes before who has the tag", ours("nginx:1.0.0@sha256:x"), "OtherManifest copy acme/copy/nginx sha256:x"},
		"I1Platform":     {"a tag of many platforms is kept for the one that is pinned", ours("lib:1@sha256:amd64"), "Missing alt acme/alt/lib "},
		"PlatformBy":     {"in the manifest that its path says", ours("base/lib:1@sha256:amd64"), "Missing base acme/base/lib "},
		"PlatformStays":  {"and in the one that was found before", v1alpha1.ChartImage{Image: "lib:1@sha256:amd64", Manifest: "base"}, "Missing base acme/base/lib "},
		"PlatformAlone":  {"a digest without a tag may be of any version", ours("base/lib@sha256:amd64"), "Missing base acme/base/lib "},
		"PlatformOther":  {"not of another tag", ours("lib:2@sha256:amd64"), "Missing   "},
		"Nested":         {"part of a name is another name", ours("library/nginx:1.0.0"), "Missing   "},
		"Elsewhere":      {"the first by name of those that list it", ours("lib:1"), "OtherManifest alt acme/alt/lib sha256:l"},
		"ElsewhereBy":    {"its path says which", ours("base/lib:1"), "OtherManifest base acme/base/lib sha256:l"},
		"ElsewhereStays": {"what was found before is not changed for another", v1alpha1.ChartImage{Image: "lib:1", Manifest: "base"}, "OtherManifest base acme/base/lib sha256:l"},
		"StoreScoped":    {"a name of several segments, as before 2025-03-30", ours("team/old:1"), "OtherManifest was acme/team/old "},
		"Foreign":        {"it stays where it is", v1alpha1.ChartImage{Image: "quay.io/nginx:1.0.0", State: v1alpha1.ImageForeign}, "Foreign   "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := charted(tc.image)
			alone := seen
			alone.elsewhere = dated{}
			if lacks := len(alone.lacks()) > 0; lacks != (strings.HasPrefix(tc.want, "Missing") || strings.HasPrefix(tc.want, "Other")) {
				t.Errorf("other manifests are asked: %t", lacks)
			}
			v := decideManifest(seen)
			if len(v.charts) != 1 {
				t.Fatalf("%s: %d charts", tc.reason, len(v.charts))
			}
			i := v.charts[0].Images[0]
			got := fmt.Sprintf("%s %s %s %s", i.State, i.Manifest, i.Repository, i.Digest)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	foreign := v1alpha1.ChartImage{Image: "quay.io/x:1", State: v1alpha1.ImageForeign}
	spare := ours("none:1")
	spare.Optional = true
	for name, tc := range map[string]struct {
		reason string
		seen   manifestSeen
		change func(*manifestSeen)
		want   string
		says   string
	}{
		"All":      {"one image, and it is there", charted(ours("nginx:1.0.0"), spare), nil, "True/Complete", "(1 image, 1 chart)"},
		"Other":    {"in another manifest", charted(ours("nginx:1.0.0"), ours("lib:1")), nil, "True/OtherManifest", "lib:1 in alt (chart app:1.0.0)"},
		"Foreign":  {"in another registry", charted(foreign, ours("lib:1")), nil, "False/ForeignImage", "quay.io/x:1 (chart app:1.0.0)"},
		"Missing":  {"what is nowhere comes before", charted(foreign, ours("none:1")), nil, "False/MissingImage", "none:1 (chart app:1.0.0)"},
		"Platform": {"a digest that no manifest has may be of one platform", charted(ours("lib:1@sha256:amd64"), ours("nginx:1.0.0@sha256:arm64")), nil, "False/MissingImage", "lib:1@sha256:amd64 in alt (chart app:1.0.0), nginx:1.0.0@sha256:arm64 in this manifest (chart app:1.0.0)"},
		"NoCharts": {"nothing needs anything", observed(func(s *manifestSeen) { s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")} }), nil, "True/Complete", "(0 images, 0 charts)"},
		"Problem": {"what is not known may be anything", charted(ours("nginx:1.0.0")), func(s *manifestSeen) {
			c := s.read.Charts[inventory.Entry{Name: "app", Version: "1.0.0"}]
			c.Problem = "it is broken"
			s.read.Charts[inventory.Entry{Name: "app", Version: "1.0.0"}] = c
		}, "False/ChartUnreadable", "app:1.0.0: it is broken. If a chart needs the address of its registry to be rendered, set registryValuesPaths"},
		"Remark": {"what is optional does not count, and is said", charted(ours("nginx:1.0.0")), func(s *manifestSeen) {
			c := s.read.Charts[inventory.Entry{Name: "app", Version: "1.0.0"}]
			c.Remark = "a spare part is broken"
			s.read.Charts[inventory.Entry{Name: "app", Version: "1.0.0"}] = c
		}, "True/Complete", "This concerns no image that is needed: app:1.0.0: a spare part is broken."},
		"Unread": {"it has not been read", charted(), func(s *manifestSeen) { s.read = chartcontroller.Reading{} }, "Unknown/Pending", "0 of 1 charts"},
		"Trouble": {"it cannot be read now", charted(), func(s *manifestSeen) {
			s.read = chartcontroller.Reading{Trouble: fmt.Errorf("no: %w", registry.ErrUnavailable)}
		}, "Unknown/Unavailable", "Check the registry"},
		"Stale": {"what was read is of another digest", charted(), func(s *manifestSeen) {
			s.manifest.Status.Artifacts[1].Digest = "sha256:new"
		}, "Unknown/Pending", "0 of 1 charts"},
		"NotUploaded": {"it may be a chart", charted(), func(s *manifestSeen) { s.manifest.Status.Artifacts = nil }, "Unknown/Pending", "2 artifacts have not been seen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.change != nil {
				tc.change(&tc.seen)
			}
			v := decideManifest(tc.seen)
			for _, c := range v.conditions {
				if c.Type != v1alpha1.ConditionComplete {
					continue
				}
				if got := string(c.Status) + "/" + c.Reason; got != tc.want || !strings.Contains(c.Message, tc.says) {
					t.Errorf("%s: %s %q", tc.reason, got, c.Message)
				}
				return
			}
			t.Errorf("%s: no condition", tc.reason)
		})
	}
}

func TestChartOfTooManyImages(t *testing.T) {
	t.Parallel()
	got := v1alpha1.ChartStatus{ImageCount: v1alpha1.MaxImages + 1, Images: make([]v1alpha1.ChartImage, v1alpha1.MaxImages)}
	n := needsOf([]v1alpha1.ChartStatus{got})
	if len(n.problems) != 1 || !strings.Contains(n.problems[0], "513 images, of which the first 512") {
		t.Errorf("%q", n.problems)
	}
}
