package chart

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/chart/images"
)

func TestNamesOfImagesFitAStatus(t *testing.T) {
	t.Parallel()
	image := imageOf(images.Image{Host: strings.Repeat("a", 2000), Repository: "upf", Tag: "1"}, v1alpha1.RegistryLocation{Host: "registry.example.com"})
	if image.State != v1alpha1.ImageForeign || len(image.Image) != maxImage {
		t.Errorf("it is %s, named in %d bytes, want Foreign in %d: the host is as long as a chart likes", image.State, len(image.Image), maxImage)
	}
}

// Foreign is what is outside of the store, by the rule that says what is inside.
func TestWhatIsForeign(t *testing.T) {
	t.Parallel()
	store := v1alpha1.RegistryLocation{Host: "r.example.com", Prefix: "acme"}
	for name, tc := range map[string]struct {
		reason, host, repository string
		origin                   images.Origin
		location                 v1alpha1.RegistryLocation
		want                     string
	}{
		"Inside":   {"the chart names the store itself", "r.example.com", "acme/m2/lib", images.OriginForeign, store, "Missing acme/m2/lib:1"},
		"Port":     {"the port of HTTPS need not be said", "r.example.com:443", "acme/m2/lib", images.OriginForeign, store, "Missing acme/m2/lib:1"},
		"Case":     {"hosts have no case", "R.example.com", "acme/m2/lib", images.OriginForeign, store, "Missing acme/m2/lib:1"},
		"Alias":    {"Docker Hub has several names", "index.docker.io", "acme/m2/lib", images.OriginForeign, v1alpha1.RegistryLocation{Host: "registry-1.docker.io", Prefix: "acme"}, "Missing acme/m2/lib:1"},
		"Whole":    {"a store without a prefix is the whole registry", "r.example.com", "other/lib", images.OriginForeign, v1alpha1.RegistryLocation{Host: "r.example.com"}, "Missing other/lib:1"},
		"Other":    {"another team has the other prefix", "r.example.com", "other/lib", images.OriginForeign, store, "Foreign r.example.com/other/lib:1"},
		"Segments": {"a prefix is whole segments", "r.example.com", "acme2/lib", images.OriginForeign, store, "Foreign r.example.com/acme2/lib:1"},
		"Port5000": {"another port is another registry", "r.example.com:5000", "acme/m2/lib", images.OriginForeign, store, "Foreign r.example.com:5000/acme/m2/lib:1"},
		"Follows":  {"what follows the registry that is set is named below it", images.Registry, "lib", images.OriginOurs, store, "Missing lib:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := imageOf(images.Image{Host: tc.host, Repository: tc.repository, Tag: "1", Origin: tc.origin}, tc.location)
			if got := string(image.State) + " " + image.Image; got != tc.want {
				t.Errorf("%s: %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}

func TestImagesOfAChart(t *testing.T) {
	t.Parallel()
	place := func(why images.Why, at string) []images.Source {
		if why == images.WhyValues {
			return []images.Source{{Values: at, Why: why}}
		}
		return []images.Source{{Template: at, Kind: "Pod", Name: "p", Field: "x", Why: why}}
	}
	image := func(host, repository string, origin images.Origin, why images.Why) images.Image {
		return images.Image{Host: host, Repository: repository, Tag: "1", Origin: origin, Why: why, Sources: place(why, "a.yaml")}
	}
	read := chart.Chart{Name: "app", Remarks: []string{"db: too large"}, Images: []images.Image{
		image(images.Registry, "b", images.OriginOurs, images.WhyDeployed),
		{Host: "R", Repository: "acme/m/a", Tag: "1", Digest: "sha256:a", Origin: images.OriginForeign, Why: images.WhyDeployed, Sources: place(images.WhyDeployed, "a.yaml")},
		image("quay.io", "x", images.OriginForeign, images.WhyValues),
		image("quay.io", "x", images.OriginForeign, images.WhyDependency),
		image(images.Registry, "b", images.OriginOurs, images.WhyValues),
		image("quay.io", "t", images.OriginForeign, images.WhyTest),
		image("quay.io", images.Registry+"/odd", images.OriginForeign, images.WhyValues),
		{Reference: "///", Origin: images.OriginForeign, Why: images.WhyDeployed, Sources: place(images.WhyDeployed, "a.yaml")},
	}}
	got := chartToRead{}.with(read, "1", v1alpha1.RegistryLocation{Host: "r", Prefix: "acme"}, errors.Join(errors.New("a.yaml is broken"), errors.New("b.yaml too")))
	want := v1alpha1.ChartStatus{
		Name: "app", ImageCount: 5, Problem: "a.yaml is broken; b.yaml too", Remark: "db: too large", Reader: "1",
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

func TestAChartNamesNoMoreImagesThanAStatusTakes(t *testing.T) {
	t.Parallel()
	var many chart.Chart
	for i := range v1alpha1.MaxImages + 1 {
		many.Images = append(many.Images, images.Image{Host: "r", Repository: fmt.Sprintf("i%03d", i), Sources: []images.Source{{Template: "a"}}})
	}
	if got := (chartToRead{}).with(many, "", v1alpha1.RegistryLocation{}, nil); len(got.Images) != v1alpha1.MaxImages || got.ImageCount != v1alpha1.MaxImages+1 {
		t.Errorf("%d of %d images", len(got.Images), got.ImageCount)
	}
}
