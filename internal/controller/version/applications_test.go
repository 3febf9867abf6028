package version

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

var (
	byManifest = reference.Reference{To: reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "ns", Name: "m"}, Artifact: "app", Version: "~1.0.0", Application: "web"}
	byStore    = reference.Reference{To: reference.Object{Kind: v1alpha1.KindArtifactStore, Namespace: "ns", Name: "acme"}, Artifact: "app", Version: "~1.0.0", Application: "web"}
)

// deploys returns an observation of a definition that references the chart app:~1.0.0 of the manifest m, as given.
func deploys(m *v1alpha1.ArtifactManifest, state v1alpha1.VersionState, before ...v1alpha1.ApplicationStatus) versionSeen {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{}
	d.Spec.VersionState, d.Status.Applications = state, before
	return versionSeen{definition: d, named: []reference.Reference{byManifest}, targets: map[reference.Object]target{byManifest.To: {found: true, manifest: m}}}
}

// missing removes the manifest from an observation.
func missing(seen versionSeen) versionSeen {
	seen.targets[byManifest.To] = target{}
	return seen
}

func named(manifest string, app v1alpha1.ApplicationStatus) v1alpha1.ApplicationStatus {
	app.Manifest = manifest
	return app
}

func versioned(version string, app v1alpha1.ApplicationStatus) v1alpha1.ApplicationStatus {
	app.ArtifactVersion = version
	return app
}

// web returns the application web, deployed from app:1.0.0 of m at the digest chart, with one image at the digest image.
func web(chart, image string) v1alpha1.ApplicationStatus {
	count := int32(1)
	return v1alpha1.ApplicationStatus{
		Name: "web", Manifest: "m", ArtifactName: "app", ArtifactVersion: "1.0.0", Repository: "acme/m/app", Digest: chart, ImageCount: &count,
		Images: []v1alpha1.ChartImage{{Image: "a:1", State: v1alpha1.ImageInManifest, Repository: "acme/m/a", Digest: image}},
	}
}

// with returns a manifest with app:1.0.0 at the digest chart, which needs one image at the digest image.
func with(chart, image string) *v1alpha1.ArtifactManifest {
	m := lists("m", "app:1.0.0")
	m.Status.Artifacts[0].Digest = chart
	m.Status.Charts = []v1alpha1.ChartStatus{{ArtifactName: "app", ArtifactVersion: "1.0.0", Digest: chart, ImageCount: 1, Images: web("", image).Images}}
	return m
}

func TestApplications(t *testing.T) {
	t.Parallel()
	unread := web("sha256:c", "")
	unread.Images, unread.ImageCount = nil, nil
	stale := with("sha256:new", "sha256:a")
	stale.Status.Charts[0].Digest = "sha256:c"
	fresh := unread
	fresh.Digest = "sha256:new"
	notRead := with("sha256:c", "")
	notRead.Status.Charts = nil
	elsewhere := web("sha256:c", "")
	elsewhere.Images = []v1alpha1.ChartImage{{Image: "base/a:1", State: v1alpha1.ImageOtherManifest, Manifest: "base", Repository: "acme/base/a", Digest: "sha256:a"}}
	both := web("sha256:c", "sha256:a")
	both.Images, both.ImageCount = append(both.Images, elsewhere.Images...), new(int32(2))
	waiting := fresh
	waiting.Images = elsewhere.Images
	blank := with("", "")
	blank.Status = v1alpha1.ArtifactManifestStatus{}
	lost := with("sha256:c", "")
	lost.Status.Charts[0].Images = []v1alpha1.ChartImage{{Image: "base/a:1", State: v1alpha1.ImageMissing}}
	cut := with("sha256:c", "sha256:a")
	cut.Status.Charts[0].ImageCount = 3
	more := both
	more.ImageCount = new(int32(3))
	listed := with("sha256:c", "") // listed at another digest
	listed.Status.Charts[0].Images = []v1alpha1.ChartImage{{Image: "base/a:1", State: v1alpha1.ImageMissing, Manifest: "base", Repository: "acme/base/a"}}
	byTag := web("sha256:c", "")
	byTag.Images = listed.Status.Charts[0].Images
	for name, tc := range map[string]struct {
		reason string
		seen   versionSeen
		want   []v1alpha1.ApplicationStatus
	}{
		"Read":       {"the chart and its images", deploys(with("sha256:c", "sha256:a"), v1alpha1.VersionPreview), []v1alpha1.ApplicationStatus{web("sha256:c", "sha256:a")}},
		"Unread":     {"the chart has not been read", deploys(notRead, v1alpha1.VersionPreview), []v1alpha1.ApplicationStatus{unread}},
		"Stale":      {"another digest has been read", deploys(stale, v1alpha1.VersionPreview), []v1alpha1.ApplicationStatus{fresh}},
		"I2Again":    {"until it is read as it is now, what it needed is held", deploys(stale, v1alpha1.VersionPreview, elsewhere), []v1alpha1.ApplicationStatus{waiting}},
		"Unlisted":   {"no such version", deploys(lists("m", "app:2.0.0"), v1alpha1.VersionPreview), nil},
		"I1Unlisted": {"the manifest does not list it for now", deploys(lists("m", "app:2.0.0"), v1alpha1.VersionActive, elsewhere), []v1alpha1.ApplicationStatus{elsewhere}},
		"I1NotThere": {"its manifest is missing for now", missing(deploys(nil, v1alpha1.VersionActive, elsewhere)), []v1alpha1.ApplicationStatus{elsewhere}},
		"I1Blank":    {"its manifest was not seen yet, or lost its status", deploys(blank, v1alpha1.VersionActive, elsewhere), []v1alpha1.ApplicationStatus{elsewhere}},
		"I2Preview":  {"a preview holds it as long", missing(deploys(nil, v1alpha1.VersionPreview, elsewhere)), []v1alpha1.ApplicationStatus{elsewhere}},
		"Other":      {"the definition names another manifest by now", missing(deploys(nil, v1alpha1.VersionPreview, named("other", elsewhere))), nil},
		"Range":      {"the definition takes other versions by now", missing(deploys(nil, v1alpha1.VersionPreview, versioned("2.0.0", elsewhere))), nil},
		"Preview":    {"a preview follows its manifest", deploys(with("sha256:new", "sha256:b"), v1alpha1.VersionPreview, web("sha256:c", "sha256:a")), []v1alpha1.ApplicationStatus{web("sha256:new", "sha256:b")}},
		"Active":     {"what is deployed stays what it was", deploys(with("sha256:new", "sha256:b"), v1alpha1.VersionActive, web("sha256:c", "sha256:a")), []v1alpha1.ApplicationStatus{web("sha256:c", "sha256:a")}},
		"Gone":       {"what it held in another manifest it goes on holding", deploys(lost, v1alpha1.VersionActive, elsewhere), []v1alpha1.ApplicationStatus{elsewhere}},
		"I2Cut":      {"while not all that the chart names is recorded, what was held stays so", deploys(cut, v1alpha1.VersionPreview, elsewhere), []v1alpha1.ApplicationStatus{more}},
		"I1Listed":   {"the manifest that has its tag at another digest is held, too", deploys(listed, v1alpha1.VersionPreview), []v1alpha1.ApplicationStatus{byTag}},
		"I1Moved":    {"and if it had the digest before, that goes on being held", deploys(listed, v1alpha1.VersionActive, elsewhere), []v1alpha1.ApplicationStatus{elsewhere}},
		"I1Reread":   {"so does one whose chart names other images when it is read in another way", deploys(with("sha256:c", "sha256:a"), v1alpha1.VersionActive, elsewhere), []v1alpha1.ApplicationStatus{both}},
		"Reread":     {"a preview holds what its chart names now", deploys(with("sha256:c", "sha256:a"), v1alpha1.VersionPreview, elsewhere), []v1alpha1.ApplicationStatus{web("sha256:c", "sha256:a")}},
		"Deprecated": {"an image of it, too", deploys(with("sha256:c", "sha256:b"), v1alpha1.VersionDeprecated, web("sha256:c", "sha256:a")), []v1alpha1.ApplicationStatus{web("sha256:c", "sha256:a")}},
		"First":      {"the first digests are taken as they come", deploys(with("sha256:c", "sha256:a"), v1alpha1.VersionActive, web("", "")), []v1alpha1.ApplicationStatus{web("sha256:c", "sha256:a")}},
		"NotOne":     {"designs have no applications", versionSeen{named: []reference.Reference{byManifest}}, nil},
		"Store": {"the highest version of all manifests of the store", versionSeen{
			definition: &v1alpha1.NetworkFunctionDefinitionVersion{}, named: []reference.Reference{byStore},
			alternatives: map[reference.Reference][]*v1alpha1.ArtifactManifest{byStore: {lists("a", "app:1.0.2"), lists("b", "app:1.0.10", "app:1.1.0"), lists("c", "app:1.0.9")}},
		}, []v1alpha1.ApplicationStatus{{Name: "web", Manifest: "b", ArtifactName: "app", ArtifactVersion: "1.0.10", Repository: "acme/b/app", Digest: "sha256:1.0.10"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.seen.applications()); diff != "" {
				t.Errorf("I1 %s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	m := lists("m", "app:1.0.2", "app:1.0.10", "app:1.1.0-rc.1", "nginx:stable")
	for name, tc := range map[string]struct{ reason, artifact, version, want, says string }{
		"Highest": {"as numbers, not as text", "app", "~1.0.0", "1.0.10", ""},
		"Exact":   {"letter by letter", "nginx", "stable", "stable", ""},
		"None":    {"no version fits", "app", "~2.0.0", "", "has 1.0.2, 1.0.10, 1.1.0-rc.1"},
		"NoName":  {"no such artifact", "db", "1", "", "has none of that name"},
		"NoRange": {"what is not a range", "app", "latest!", "", "latest!"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, unlisted := choose(reference.Reference{Artifact: tc.artifact, Version: tc.version}, m)
			if got != tc.want || (unlisted == "") != (tc.says == "") || !strings.Contains(unlisted, tc.says) {
				t.Errorf("%s: %q, %q", tc.reason, got, unlisted)
			}
		})
	}
}

// Images that do not fit into a status are left out, but not those through which the definition holds other manifests.
func TestI1ImagesOfAllApplicationsAreBounded(t *testing.T) {
	t.Parallel()
	const perApp = 128
	apps := make([]v1alpha1.ApplicationStatus, 8)
	for i := range apps {
		for j := range perApp {
			apps[i].Images = append(apps[i].Images, v1alpha1.ChartImage{Image: fmt.Sprint(j)})
		}
		apps[i].Images[perApp-1].Manifest = "other"
	}
	bound(apps)
	total := 0
	for i, app := range apps {
		total += len(app.Images)
		if app.Images[0].Manifest != "other" {
			t.Errorf("application %d lost the image in another manifest", i)
		}
	}
	if total > v1alpha1.MaxImages {
		t.Errorf("%d images", total)
	}
	if each := v1alpha1.MaxImages / len(apps); len(apps[7].Images) != each {
		t.Errorf("the last application has %d images, not %d as the others", len(apps[7].Images), each)
	}
}

func TestI1EveryManifestThatHasAnImageIsHeld(t *testing.T) {
	t.Parallel()
	apps := make([]v1alpha1.ApplicationStatus, 64)
	for i := range apps {
		apps[i].ImageCount = new(int32(8))
		for j := range 8 {
			apps[i].Images = append(apps[i].Images, v1alpha1.ChartImage{Image: fmt.Sprint(j)})
		}
	}
	umbrella := &apps[63]
	umbrella.Images, umbrella.ImageCount = nil, new(int32(20))
	for j := range 20 {
		umbrella.Images = append(umbrella.Images, v1alpha1.ChartImage{Image: fmt.Sprint(j), Manifest: fmt.Sprint(j)})
	}
	bound(apps)
	if len(umbrella.Images) != 20 {
		t.Errorf("%d of 20 manifests are held", len(umbrella.Images))
	}
	seen := deploys(with("sha256:c", "sha256:a"), v1alpha1.VersionActive)
	if _, _, says := seen.deployable(apps); !strings.Contains(says, "need 524 images, of which this definition protects 512") {
		t.Errorf("said: %s", says)
	}
}

func TestDrifted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		seen   versionSeen
		want   string
	}{
		"Chart":   {"the chart was overwritten", deploys(with("sha256:new", "sha256:a"), v1alpha1.VersionActive, web("sha256:c", "sha256:a")), "app:1.0.0 (was at sha256:c, is at sha256:new)"},
		"Image":   {"an image was", deploys(with("sha256:c", "sha256:b"), v1alpha1.VersionDeprecated, web("sha256:c", "sha256:a")), "a:1 (was at sha256:a, is at sha256:b)"},
		"Unknown": {"a digest that is not known is not another one", deploys(with("sha256:c", ""), v1alpha1.VersionActive, web("sha256:c", "sha256:a")), ""},
		"Same":    {"nothing was", deploys(with("sha256:c", "sha256:a"), v1alpha1.VersionActive, web("sha256:c", "sha256:a")), ""},
		"Preview": {"a preview follows its manifest", deploys(with("sha256:new", "sha256:a"), v1alpha1.VersionPreview, web("sha256:c", "sha256:a")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(tc.seen.drifted(), ", "); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
			want := "True/Ready"
			if tc.want != "" {
				want = "False/TagMoved"
			}
			if status, reason, _ := tc.seen.deployable(nil); string(status)+"/"+reason != want {
				t.Errorf("%s: %s/%s", tc.reason, status, reason)
			}
		})
	}
}
