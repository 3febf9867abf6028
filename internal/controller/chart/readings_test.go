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

// An image is Foreign if it is outside the store, by the same rule that decides what is inside.
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
	got := chartToRead{}.with([]answer{
		answerOf(profile{}, read, v1alpha1.RegistryLocation{Host: "r", Prefix: "acme"}, errors.Join(errors.New("a.yaml is broken"), errors.New("b.yaml too"))),
	}, "1")
	want := v1alpha1.ChartStatus{
		Name: "app", ImageCount: 5, Problem: "a.yaml is broken; b.yaml too", Remark: "db: too large", Reader: chartToRead{}.reader("1"),
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

// deploy returns how a definition deploys app:~1.0.0.
func deploy(definition string, paths ...string) deployment {
	return deployment{definition: definition, HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: "app", HelmPackageVersionRange: "~1.0.0", RegistryValuesPaths: paths}}
}

func preview(d deployment) deployment {
	d.preview = true
	return d
}

func TestProfilesOfAChart(t *testing.T) {
	t.Parallel()
	secret := deploy("secret", "a")
	secret.ImagePullSecretsValuesPaths = []string{"s"}
	other, wide := deploy("other", "x"), deploy("wide", "a", "b")
	other.HelmPackageName, wide.HelmPackageVersionRange = "db", ">=1.0.0"
	next := deploy("next", "x")
	next.HelmPackageVersionRange = "~2.0.0"
	for name, tc := range map[string]struct {
		reason   string
		all      deployments
		want     []string // paths of registries, paths of pull secrets, definitions
		skipped  string
		recorded []string
	}{
		"None":    {"it is read as it is", nil, []string{"[] [] []"}, "", nil},
		"Order":   {"the order of paths does not matter", deployments{deploy("d2", "b", "a", "b"), deploy("d1", "a", "b")}, []string{"[a b] [] [d1 d2]"}, "", []string{"a", "b"}},
		"Apart":   {"each in its own way", deployments{deploy("d2", "b"), deploy("d1", "a")}, []string{"[a] [] [d1]", "[b] [] [d2]"}, "", []string{"a", "b"}},
		"Secrets": {"pull secrets are a part of it", deployments{secret, deploy("d", "a")}, []string{"[a] [] [d]", "[a] [s] [secret]"}, "", []string{"a"}},
		"Nothing": {"to set nothing is a way, too", deployments{deploy("d1"), deploy("d2", "a")}, []string{"[] [] [d1]", "[a] [] [d2]"}, "", []string{"a"}},
		"Others":  {"other charts and versions do not count", deployments{other, next, wide}, []string{"[a b] [] [wide]"}, "", []string{"a", "b"}},
		"Twice":   {"a definition can deploy it in two ways", deployments{deploy("d", "a"), deploy("d", "b")}, []string{"[a] [] [d]", "[b] [] [d]"}, "", []string{"a", "b"}},
		"I1Running": {
			"what is deployed goes before previews", deployments{preview(deploy("d1", "1")), preview(deploy("d2", "2")), preview(deploy("d3", "3")), deploy("d4", "4"), deploy("d5", "5"), preview(deploy("d6", "5"))},
			[]string{"[4] [] [d4]", "[5] [] [d5 d6]", "[1] [] [d1]", "[2] [] [d2]"}, "d3", []string{"1", "2", "4", "5"},
		},
		"Many": {
			"not all that are skipped are named", deployments{deploy("d1", "1"), deploy("d2", "2"), deploy("d3", "3"), deploy("d4", "4"), deploy("d5", "5"), deploy("d6", "6"), deploy("d7", "7"), deploy("d8", "8")},
			[]string{"[1] [] [d1]", "[2] [] [d2]", "[3] [] [d3]", "[4] [] [d4]"}, "d5, d6, d7 and others", []string{"1", "2", "3", "4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tc.all.chart(v1alpha1.ArtifactStatus{ArtifactName: "app", ArtifactVersion: "1.0.1", Digest: "sha256:c", Repository: "acme/m/app"})
			var got []string
			for _, p := range c.profiles {
				got = append(got, fmt.Sprint(p.registryPaths, " ", p.secretPaths, " ", p.definitions))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || c.skipped != tc.skipped {
				t.Errorf("%s: skipped are %q: -want +got\n%s", tc.reason, c.skipped, diff)
			}
			if diff := cmp.Diff(tc.recorded, c.RegistryValuesPaths); diff != "" {
				t.Errorf("%s: recorded are -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatDeploysFromAManifest(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	m.Name, m.Spec.ArtifactStoreRef.Name = "m", "acme"
	ref := func(name string) *v1alpha1.LocalReference { return &v1alpha1.LocalReference{Name: name} }
	for name, tc := range map[string]struct {
		reason string
		source v1alpha1.ArtifactSource
		want   bool
	}{
		"Manifest":      {"it is named", v1alpha1.ArtifactSource{ArtifactManifestRef: ref("m")}, true},
		"OtherManifest": {"another one is", v1alpha1.ArtifactSource{ArtifactManifestRef: ref("n")}, false},
		"Store":         {"by the old form all of its store are", v1alpha1.ArtifactSource{ArtifactStoreRef: ref("acme")}, true},
		"OtherStore":    {"another store is named", v1alpha1.ArtifactSource{ArtifactStoreRef: ref("other")}, false},
		"Both":          {"a manifest says more than its store", v1alpha1.ArtifactSource{ArtifactManifestRef: ref("n"), ArtifactStoreRef: ref("acme")}, false},
	} {
		if got := deploysFrom(tc.source, m); got != tc.want {
			t.Errorf("%s: %s: %t, want %t", name, tc.reason, got, tc.want)
		}
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
	now, more := reader(chart.Limits{}), reader(chart.Limits{CPU: 24 * time.Hour, Memory: 1 << 40})
	a := v1alpha1.ArtifactStatus{ArtifactName: "app", ArtifactVersion: "1.0.1", Digest: "sha256:c"}
	one, two := deployments{deploy("d1", "a", "b")}, deployments{deploy("d1", "a"), deploy("d2", "b")}
	full := deployments{deploy("d1", "1"), deploy("d2", "2"), deploy("d3", "3"), deploy("d4", "4")}
	changed := a
	changed.Digest = "sha256:d"
	as := func(d deployments, r *chart.Reader, limited bool) string {
		return d.chart(a).reader(r.Revision(limited))
	}
	for name, tc := range map[string]struct {
		reason, was string
		chart       chartToRead
		reader      *chart.Reader
		want        bool
	}{
		"Same":       {"nothing has changed", as(one, now, false), one.chart(a), now, true},
		"Digest":     {"the bytes are others", as(one, now, false), one.chart(changed), now, false},
		"Older":      {"an older nfo reads charts otherwise", "2", one.chart(a), now, false},
		"None":       {"it has never been read", "", one.chart(a), now, false},
		"Limits":     {"no limit has ended the reading", as(one, now, false), one.chart(a), more, true},
		"Limited":    {"the limit that ended it is the same", as(one, more, true), one.chart(a), more, true},
		"LessLimits": {"the limit that ended it is another one", as(one, now, true), one.chart(a), more, false},
		"Apart":      {"the same paths are set by two definitions now", as(one, now, false), two.chart(a), now, false},
		"Together":   {"and by one", as(two, now, false), one.chart(a), now, false},
		"Deployed":   {"no definition has deployed it before", as(nil, now, false), one.chart(a), now, false},
		"Another":    {"another definition deploys it the same way", as(one, now, false), append(one[:1:1], deploy("d2", "b", "a")).chart(a), now, true},
		"Named":      {"of several ways, that of another definition is named", as(two, now, false), append(two[:2:2], deploy("d3", "b")).chart(a), now, false},
		"Active":     {"a state alone changes no way", as(two, now, false), deployments{preview(two[0]), two[1]}.chart(a), now, true},
		"Skipped":    {"there is one way too many", as(full, now, false), append(full[:4:4], deploy("d5", "5")).chart(a), now, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			was := v1alpha1.ChartStatus{Digest: a.Digest, Reader: tc.was}
			if len(tc.was) > 64 || tc.chart.upToDate(was, tc.reader) != tc.want {
				t.Errorf("%s: %q, want %t", tc.reason, tc.was, tc.want)
			}
		})
	}
}

// The readings with the paths of several definitions are joined
// into one list, and a problem says with whose paths it occurred.
func TestI1ReadingsAreJoined(t *testing.T) {
	t.Parallel()
	image := func(name string, why v1alpha1.OptionalReason) v1alpha1.ChartImage {
		state := v1alpha1.ImageMissing
		if strings.HasPrefix(name, "quay.io/") {
			state = v1alpha1.ImageForeign
		}
		return v1alpha1.ChartImage{Image: name, State: state, Optional: why != "", OptionalReason: why}
	}
	of := func(definitions ...string) profile { return profile{definitions: definitions} }
	a := answer{of: of("a"), name: "app", version: "1", images: []v1alpha1.ChartImage{image("spare:1", v1alpha1.OptionalValues), image("upf:1", "")}, remarks: []string{"odd"}}
	b := answer{of: of("b"), name: "app", version: "1", images: []v1alpha1.ChartImage{image("quay.io/upf:1", ""), image("spare:1", ""), image("other:1", v1alpha1.OptionalTest)}, remarks: []string{"odd", "strange"}}
	failed := func(a answer, text string) answer {
		a.err = errors.New(text)
		return a
	}
	long := failed(answer{of: of(strings.Repeat("d", 253), strings.Repeat("e", 253), strings.Repeat("f", 253))}, strings.Repeat("x", 2*maxProblem))
	for name, tc := range map[string]struct {
		reason  string
		answers []answer
		skipped string
		want    []string // images, and whether they are optional
		problem string
	}{
		"One":     {"each image of one", []answer{a}, "", []string{"upf:1 false", "spare:1 true"}, ""},
		"Union":   {"it is optional if it is so for all, and what nothing keeps comes last", []answer{a, b}, "", []string{"spare:1 false", "upf:1 false", "other:1 true", "quay.io/upf:1 false"}, ""},
		"Problem": {"the images of the others stay", []answer{a, failed(answer{of: of("b", "c")}, "no\nimages")}, "", []string{"upf:1 false", "spare:1 true"}, "with the values paths of b, c: no; images"},
		"Same":    {"it is so whatever the paths", []answer{failed(answer{of: of("a")}, "no"), failed(answer{of: of("b")}, "no")}, "", nil, "no"},
		"Differs": {"it is not", []answer{failed(answer{of: of("a")}, "no"), failed(answer{of: of("b")}, "never")}, "", nil, "with the values paths of a: no; with the values paths of b: never"},
		"Skipped": {"there are too many ways", []answer{a}, "e, f", []string{"upf:1 false", "spare:1 true"}, "with the values paths of e, f: not read, for a chart is read in at most 4 ways. Set the same registryValuesPaths and imagePullSecretsValuesPaths in more definitions"},
		"NoChart": {"it is read only once, and others are skipped", []answer{failed(answer{}, "not a chart")}, "e", nil, "not a chart; with the values paths of e: not read"},
		"Long":    {"each has its room", []answer{long, long, long, failed(b, "wrong")}, "e", []string{"spare:1 false", "other:1 true", "quay.io/upf:1 false"}, "with the values paths of b: wrong; with the values paths of e: not read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := chartToRead{skipped: tc.skipped}.with(tc.answers, "1")
			var listed []string
			for _, i := range got.Images {
				listed = append(listed, fmt.Sprint(i.Image, " ", i.Optional))
			}
			if diff := cmp.Diff(tc.want, listed); diff != "" || int(got.ImageCount) != len(tc.want) {
				t.Errorf("%s: of %d images -want +got\n%s", tc.reason, got.ImageCount, diff)
			}
			if !strings.Contains(got.Problem, tc.problem) || tc.problem == "" && got.Problem != "" || len(got.Problem) > maxProblem {
				t.Errorf("%s: the problem is, in %d bytes, %q", tc.reason, len(got.Problem), got.Problem)
			}
		})
	}
	if got := (chartToRead{}).with([]answer{a, b}, "1"); got.Name != "app" || got.Remark != "odd; strange" {
		t.Errorf("it is %s, and it is remarked %q", got.Name, got.Remark)
	}
}

func TestAChartNamesNoMoreImagesThanAStatusTakes(t *testing.T) {
	t.Parallel()
	var many chart.Chart
	for i := range v1alpha1.MaxImages + 1 {
		many.Images = append(many.Images, images.Image{Host: "r", Repository: fmt.Sprintf("i%03d", i), Sources: []images.Source{{Template: "a"}}})
	}
	if got := (chartToRead{}).with([]answer{answerOf(profile{}, many, v1alpha1.RegistryLocation{}, nil)}, ""); len(got.Images) != v1alpha1.MaxImages || got.ImageCount != v1alpha1.MaxImages+1 {
		t.Errorf("%d of %d images", len(got.Images), got.ImageCount)
	}
}
