package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/chart"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// charted is a manifest with nginx:1.0.0 and the chart app:1.0.0, which needs the given images.
func charted(images ...v1alpha1.ChartImage) manifestSeen {
	return observed(func(s *manifestSeen) {
		s.manifest.Spec.Artifacts = append(s.manifest.Spec.Artifacts, v1alpha1.Artifact{ArtifactName: "app", ArtifactVersion: "1.0.0"})
		chart := v1alpha1.ArtifactStatus{
			ArtifactName: "app", ArtifactVersion: "1.0.0", Repository: "acme/m/app", Digest: "sha256:c",
			State: v1alpha1.ArtifactPresent, ConfigMediaType: chart.ConfigMediaType,
		}
		s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a"), chart}
		s.read = reading{charts: map[entry]v1alpha1.ChartStatus{{"app", "1.0.0"}: {ArtifactName: "app", ArtifactVersion: "1.0.0", Digest: "sha256:c", Images: images}}}
		s.elsewhere.catalogue = catalogue{"lib": {{"base", "lib", "acme/base/lib", "1", "sha256:l"}, {"alt", "lib", "acme/alt/lib", "1", "sha256:l"}}, "old": {{"was", "team/old", "acme/team/old", "1", ""}}}
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
		"OtherDigest":    {"and nothing else is", ours("nginx:1.0.0@sha256:b"), "Missing   "},
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
		"All":      {"one image, and it is there", charted(ours("nginx:1.0.0"), spare), nil, "True/Complete", "all of the 1 images"},
		"Other":    {"in another manifest", charted(ours("nginx:1.0.0"), ours("lib:1")), nil, "True/OtherManifest", "lib:1 in alt (chart app:1.0.0)"},
		"Foreign":  {"in another registry", charted(foreign, ours("lib:1")), nil, "False/ForeignImage", "quay.io/x:1 (chart app:1.0.0)"},
		"Missing":  {"what is nowhere comes before", charted(foreign, ours("none:1")), nil, "False/MissingImage", "none:1 (chart app:1.0.0)"},
		"NoCharts": {"nothing needs anything", observed(func(s *manifestSeen) { s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")} }), nil, "True/Complete", "0 charts"},
		"Problem": {"what is not known may be anything", charted(ours("nginx:1.0.0")), func(s *manifestSeen) {
			c := s.read.charts[entry{"app", "1.0.0"}]
			c.Problem = "it is broken"
			s.read.charts[entry{"app", "1.0.0"}] = c
		}, "False/ChartUnreadable", "app:1.0.0: it is broken"},
		"Remark": {"what is optional does not count, and is told", charted(ours("nginx:1.0.0")), func(s *manifestSeen) {
			c := s.read.charts[entry{"app", "1.0.0"}]
			c.Remark = "a spare part is broken"
			s.read.charts[entry{"app", "1.0.0"}] = c
		}, "True/Complete", "This concerns no image that is needed: app:1.0.0: a spare part is broken."},
		"Unread":  {"it has not been read", charted(), func(s *manifestSeen) { s.read = reading{} }, "Unknown/Pending", "0 of 1 charts"},
		"Trouble": {"it cannot be read now", charted(), func(s *manifestSeen) { s.read = reading{trouble: fmt.Errorf("no: %w", registry.ErrUnavailable)} }, "Unknown/Unavailable", "Check the registry"},
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

func TestImagesOfAChart(t *testing.T) {
	t.Parallel()
	place := func(why chart.Why, at string) []chart.Source {
		if why == chart.WhyValues {
			return []chart.Source{{Values: at, Why: why}}
		}
		return []chart.Source{{Template: at, Kind: "Pod", Name: "p", Field: "x", Why: why}}
	}
	image := func(host, repository string, origin chart.ImageOrigin, why chart.Why) chart.Image {
		return chart.Image{Host: host, Repository: repository, Tag: "1", Origin: origin, Why: why, Sources: place(why, "a.yaml")}
	}
	read := chart.Chart{Name: "app", Remarks: []string{"db: too large"}, Images: []chart.Image{
		image(chart.Registry, "b", chart.OriginOurs, chart.WhyDeployed),
		{Host: "R", Repository: "acme/m/a", Tag: "1", Digest: "sha256:a", Origin: chart.OriginForeign, Why: chart.WhyDeployed, Sources: place(chart.WhyDeployed, "a.yaml")},
		image("quay.io", "x", chart.OriginForeign, chart.WhyValues),
		image("quay.io", "x", chart.OriginForeign, chart.WhyDependency),
		image(chart.Registry, "b", chart.OriginOurs, chart.WhyValues),
		image("quay.io", "t", chart.OriginForeign, chart.WhyTest),
		image("quay.io", chart.Registry+"/odd", chart.OriginForeign, chart.WhyValues),
		{Reference: "///", Origin: chart.OriginForeign, Why: chart.WhyDeployed, Sources: place(chart.WhyDeployed, "a.yaml")},
	}}
	got := chartToRead{}.with(read, "1", location, errors.New("it is broken"))
	want := v1alpha1.ChartStatus{
		Name: "app", ImageCount: 5, Problem: "it is broken", Remark: "db: too large", Reader: "1",
		Images: []v1alpha1.ChartImage{
			{Image: "acme/m/a:1@sha256:a", State: v1alpha1.ImageMissing, Place: "a.yaml Pod/p x"}, // the host is the store's
			{Image: "b:1", State: v1alpha1.ImageMissing, Place: "a.yaml Pod/p x"},
			{Image: "quay.io/<registry>/odd:1", State: v1alpha1.ImageForeign, Optional: true, OptionalReason: v1alpha1.OptionalValues, Place: "values a.yaml"},
			{Image: "quay.io/t:1", State: v1alpha1.ImageForeign, Optional: true, OptionalReason: v1alpha1.OptionalTest, Place: "a.yaml Pod/p x"},
			{Image: "quay.io/x:1", State: v1alpha1.ImageForeign, Optional: true, OptionalReason: v1alpha1.OptionalDependency, Place: "a.yaml Pod/p x"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChartOfTooManyImages(t *testing.T) {
	t.Parallel()
	var many chart.Chart
	for i := range v1alpha1.MaxImages + 1 {
		many.Images = append(many.Images, chart.Image{Host: "r", Repository: fmt.Sprintf("i%03d", i), Sources: []chart.Source{{Template: "a"}}})
	}
	got := chartToRead{}.with(many, "", location, nil)
	n := needsOf([]v1alpha1.ChartStatus{got})
	if len(got.Images) != v1alpha1.MaxImages || len(n.problems) != 1 || !strings.Contains(n.problems[0], "513 images, of which the first 512") {
		t.Errorf("%d of %d images, %q", len(got.Images), got.ImageCount, n.problems)
	}
}

func TestProfileOfAChart(t *testing.T) {
	t.Parallel()
	all := deployments{
		{HelmPackageName: "app", HelmPackageVersionRange: "~1.0.0", RegistryValuesPaths: []string{"b", "a"}},
		{HelmPackageName: "app", HelmPackageVersionRange: ">=1.0.0", RegistryValuesPaths: []string{"b"}, ImagePullSecretsValuesPaths: []string{"s"}},
		{HelmPackageName: "app", HelmPackageVersionRange: "~2.0.0", RegistryValuesPaths: []string{"other version"}},
		{HelmPackageName: "db", HelmPackageVersionRange: "~1.0.0", RegistryValuesPaths: []string{"other chart"}},
	}
	got := all.profile(v1alpha1.ArtifactStatus{ArtifactName: "app", ArtifactVersion: "1.0.1", Digest: "sha256:c"})
	want := v1alpha1.ChartStatus{
		ArtifactName: "app", ArtifactVersion: "1.0.1", Digest: "sha256:c", RegistryValuesPaths: []string{"a", "b"}, ImagePullSecretsValuesPaths: []string{"s"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChartsAreReadAgain(t *testing.T) {
	t.Parallel()
	reader := func(limits chart.Limits) *chart.Reader {
		r, err := chart.NewReader(limits, 1, "none")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	now, more := reader(chart.Limits{}), reader(chart.Limits{CPU: time.Minute})
	c := v1alpha1.ChartStatus{Digest: "sha256:c"}
	for name, tc := range map[string]struct {
		reason, was string
		digest      string
		reader      *chart.Reader
		want        bool
	}{
		"Same":       {"nothing has changed", now.Revision(false), c.Digest, now, true},
		"Digest":     {"the bytes are others", now.Revision(false), "sha256:d", now, false},
		"Older":      {"an older nfo reads charts otherwise", "", c.Digest, now, false},
		"Limits":     {"no limit has ended the reading", now.Revision(false), c.Digest, more, true},
		"Limited":    {"the limit that ended it is the same", now.Revision(true), c.Digest, now, true},
		"LessLimits": {"the limit that ended it is another one", now.Revision(true), c.Digest, more, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			was := v1alpha1.ChartStatus{Digest: tc.digest, Reader: tc.was}
			if len(tc.was) > 64 || upToDate(was, c, tc.reader) != tc.want {
				t.Errorf("%s: %q, want %t", tc.reason, tc.was, tc.want)
			}
		})
	}
}
