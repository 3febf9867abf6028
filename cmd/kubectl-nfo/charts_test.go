package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

// charted makes a manifest of a chart that was read, a chart that was not, and an artifact that was never seen.
func charted(m *v1alpha1.ArtifactManifest) {
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "app", ArtifactVersion: "1"}, {ArtifactName: "db", ArtifactVersion: "2"}, {ArtifactName: "new", ArtifactVersion: "3"}}
	m.Status.Artifacts = []v1alpha1.ArtifactStatus{
		{ArtifactName: "app", ArtifactVersion: "1", Digest: plugintest.One, ConfigMediaType: chart.ConfigMediaType},
		{ArtifactName: "db", ArtifactVersion: "2", Digest: plugintest.Two, ConfigMediaType: chart.ConfigMediaType},
	}
	m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonMissingImage, Message: "No."}}
	m.Status.Charts = []v1alpha1.ChartStatus{
		{
			ArtifactName: "app", ArtifactVersion: "1", Digest: plugintest.One, Name: "app", Version: "1.0.0", AppVersion: "7", RegistryValuesPaths: []string{"registry"},
			ImageCount: 7, Problem: "it is broken", Remark: "a spare part too",
			Images: []v1alpha1.ChartImage{
				{Image: "app:1", State: v1alpha1.ImageInManifest, Repository: "acme/m/app", Digest: plugintest.One, Place: "app/templates/a.yaml Pod/a spec.containers.a.image"},
				{Image: "base:1", State: v1alpha1.ImageOtherManifest, Manifest: "base", Repository: "acme/base/base"},
				{Image: "gone:1", State: v1alpha1.ImageMissing, Place: "x"},
				{Image: "q.io/t:1", State: v1alpha1.ImageForeign, Optional: true, OptionalReason: v1alpha1.OptionalTest, Place: "y"},
				{Image: "q.io/u:1", State: v1alpha1.ImageForeign, Optional: true, OptionalReason: v1alpha1.OptionalDependency, Place: "z"},
				{Image: "q.io/v:1", State: v1alpha1.ImageForeign, Optional: true, OptionalReason: v1alpha1.OptionalValues, Place: "values v"},
			},
		},
		{ArtifactName: "db", ArtifactVersion: "2", Digest: plugintest.One},
	}
}

const chartedTable = `artifactmanifests/p/m
Complete=False/MissingImage: No.

app:1: chart app 1.0.0 (7)
Read as definitions deploy it, which set the store's registry at registry.
IMAGE     USE                                              STORED IN                      NAMED IN
app:1     required                                         acme/m/app                     app/templates/a.yaml Pod/a spec.containers.a.image
base:1    required                                         acme/base/base (am/base)       not recorded
gone:1    required                                         missing: no manifest lists it  x
q.io/t:1  optional: only helm test uses it                 outside of the store           y
q.io/u:1  optional: only a dependency that is off uses it  outside of the store           z
q.io/v:1  optional: only values name it                    outside of the store           values v
Problem: it is broken
Remark: a spare part too
Images that are not recorded: 1.

db:2: chart whose name cannot be read
Read with no registry set: no definition gives registryValuesPaths for it.

Charts that have not been read yet: db:2

Not seen in the registry yet, and possibly charts: new:3
`

func TestWhereAnImageIs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		image  v1alpha1.ChartImage
		want   string
	}{
		"Here":      {"in the manifest itself", v1alpha1.ChartImage{State: v1alpha1.ImageInManifest, Repository: "acme/m/a"}, "acme/m/a"},
		"There":     {"in another one", v1alpha1.ChartImage{State: v1alpha1.ImageOtherManifest, Manifest: "base", Repository: "acme/base/a"}, "acme/base/a (am/base)"},
		"Foreign":   {"nothing here keeps it", v1alpha1.ChartImage{State: v1alpha1.ImageForeign}, "outside of the store"},
		"Nowhere":   {"nobody lists it", v1alpha1.ChartImage{State: v1alpha1.ImageMissing}, "missing: no manifest lists it"},
		"OtherHere": {"its tag is at another digest", v1alpha1.ChartImage{State: v1alpha1.ImageMissing, Repository: "acme/m/a"}, "listed, at another digest: acme/m/a"},
		"Other":     {"so is that of another manifest", v1alpha1.ChartImage{State: v1alpha1.ImageMissing, Manifest: "base", Repository: "acme/base/a"}, "listed, at another digest: acme/base/a (am/base)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := whereOf(tc.image); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestChartsReport(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report := chartsReport(plugintest.Manifest("m", charted))
	if err := report.write(&out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(chartedTable, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if err := plugin.WriteJSON(&out, report); err != nil {
		t.Fatal(err)
	}
	var again chartReport
	if err := json.Unmarshal(out.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, again); diff != "" {
		t.Errorf("JSON: %s", diff)
	}
	if i := again.Charts[0].Images; !i[0].Required || i[3].Required || i[0].Digest != plugintest.One {
		t.Errorf("JSON: %+v", i)
	}
}

func TestChartsReportOfNone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := plugintest.Manifest("m", func(m *v1alpha1.ArtifactManifest) { m.Spec.Artifacts = m.Spec.Artifacts[:1] })
	if err := chartsReport(m).write(&out); err != nil {
		t.Fatal(err)
	}
	if want := "artifactmanifests/p/m\nIt lists no charts.\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

func TestChartsUsage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		args   []string
	}{
		"Nothing": {"which manifest", []string{"charts"}},
		"Many":    {"one at a time", []string{"charts", "am/a", "am/b"}},
		"NoKind":  {"it may be anything", []string{"charts", "upf"}},
		"Deep":    {"that is an image", []string{"charts", "am/a/b"}},
		"Output":  {"no such form", []string{"charts", "am/a", "-o", "yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			if code := run(t.Context(), genericiooptions.IOStreams{Out: &out, ErrOut: &errOut}, tc.args); code != plugin.ExitUsage || errOut.Len() == 0 {
				t.Errorf("%s: exit code %d, %s", tc.reason, code, errOut.String())
			}
		})
	}
}
