package images

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/plugin/running"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/terminal"
	"github.com/nfo-operator/nfo/internal/workload"
	"github.com/nfo-operator/nfo/internal/workload/workloadtest"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// store is a store that counts workloads, which the manager read without errors an hour ago.
func store(name string, edit ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: plugintest.Meta(name)}
	s.Spec.Registry.URL = "https://r.example.com/" + name
	s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers}}
	s.Status.Workloads = &v1alpha1.WorkloadsStatus{ObservedAt: metav1.NewTime(now.Add(-time.Hour))}
	for _, f := range edit {
		f(s)
	}
	return s
}

func nobody(s *v1alpha1.ArtifactStore) { s.Spec.Workloads = nil }

// used records in a manifest's status that the manager saw a Deployment use it.
func used(m *v1alpha1.ArtifactManifest) {
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{{Kind: "Deployment", Namespace: "ran", Name: "seen", Artifacts: []string{"upf:1"}}}
}

// ran is a complete reading with these uses.
func ran(uses ...workload.Use) running.Running {
	all := map[workload.Use]bool{}
	for _, u := range uses {
		all[u] = true
	}
	return running.Running{Reading: workload.NewReading(now, all), Selected: true}
}

// lists lists the images of a cluster with these objects and workloads.
func lists(t *testing.T, q question, runs workloadtest.Server, to writer, objects ...client.Object) (complete bool, err error) {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	kube, through := runs.Start(t)
	reader, err := workload.NewReader(kube, through, nil, clock.RealClock{}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return list(t.Context(), fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), reader.Read, q, to)
}

func TestImages(t *testing.T) {
	t.Parallel()
	deployments := func(images ...string) workloadtest.Server {
		s := workloadtest.Server{Objects: map[string][]string{}}
		for i, image := range images {
			s.Objects["/apis/apps/v1/deployments"] = append(s.Objects["/apis/apps/v1/deployments"], workloadtest.Deployment("web-"+string(rune('a'+i)), image))
		}
		return s
	}
	const upf = "r.example.com/acme/m/upf"
	denied := workloadtest.Server{Denied: []string{"deployments"}, Objects: map[string][]string{"/api/v1/pods": {workloadtest.Pod("alone", upf+":1")}}}
	p := question{namespace: "p"}
	tests := map[string]struct {
		reason  string
		ask     question
		runs    workloadtest.Server
		objects []client.Object
		want    string
		partial bool
	}{
		"states": {reason: "each image of the store has one", ask: p, runs: deployments(upf+":1", upf+"@"+plugintest.One, "r.example.com/acme/other:2", "r.example.com/acme/m/upf@"+plugintest.Two, "elsewhere.example.com/x:1"),
			objects: []client.Object{store("acme"), plugintest.Manifest("m"), plugintest.Manifest("n"), plugintest.Definition("d", "n"), plugintest.Design("s", "d", "n")}, want: `
artifactstores/p/acme (https://r.example.com/acme)
IMAGE            MANIFEST        HELD BY                                              STATE
acme/m/new:1     m               -                                                    Unused
acme/m/upf:1     m               deployments/ran/web-a and 1 more                     InUse
acme/m/upf@TWO   - (not listed)  deployments/ran/web-d                                NotListed
acme/n/new:1     n               networkfunctiondefinitionversions/p/d and 1 more     InUse
acme/n/upf:1     n               networkfunctiondefinitionversions/p/d and 1 more     InUse
acme/other:2     - (not listed)  deployments/ran/web-c                                NotListed
`},
		"unused": {reason: "only what is listed and not held", ask: question{namespace: "p", unused: true}, runs: deployments(upf+":1", "r.example.com/acme/other:2"), objects: []client.Object{store("acme"), plugintest.Manifest("m")}, want: `
artifactstores/p/acme (https://r.example.com/acme)
IMAGE         MANIFEST  HELD BY  STATE
acme/m/new:1  m         -        Unused
`},
		"all is held": {reason: "nothing is left", ask: question{namespace: "p", unused: true}, objects: []client.Object{store("acme"), plugintest.Manifest("m"), plugintest.Definition("d", "m")}, want: `
artifactstores/p/acme (https://r.example.com/acme)
Everything that its manifests list is held.
`},
		"no workloads count": {reason: "only the product's kinds hold", ask: p, runs: deployments(upf + ":1"), objects: []client.Object{store("acme", nobody), plugintest.Manifest("m")}, want: `
artifactstores/p/acme (https://r.example.com/acme)
Running workloads were not checked, because the store has no spec.workloads: only definitions and designs count.
IMAGE         MANIFEST  HELD BY  STATE
acme/m/new:1  m         -        Unused
acme/m/upf:1  m         -        Unused
`},
		"denied": {reason: "what was read counts, and of the rest it is not known", ask: p, runs: denied, objects: []client.Object{store("acme"), plugintest.Manifest("m")}, partial: true, want: `
artifactstores/p/acme (https://r.example.com/acme)
IMAGE         MANIFEST  HELD BY         STATE
acme/m/new:1  m         -               Unknown
acme/m/upf:1  m         pods/ran/alone  InUse

Incomplete: what runs of artifactstores/p/acme could not be read in full (Controllers: you may not: listing deployments: deployments is forbidden: User "ann" cannot list resource "deployments"); what nfo saw at 2026-05-01T11:00:00Z is used as well, which is up to 16 holders of a manifest.
`},
		"denied, and seen": {reason: "what the manager saw counts as well", ask: p, runs: denied, objects: []client.Object{store("acme"), plugintest.Manifest("m", used)}, partial: true, want: `
artifactstores/p/acme (https://r.example.com/acme)
IMAGE         MANIFEST  HELD BY                          STATE
acme/m/new:1  m         -                                Unknown
acme/m/upf:1  m         deployments/ran/seen and 1 more  InUse

Incomplete: what runs of artifactstores/p/acme could not be read in full (Controllers: you may not: listing deployments: deployments is forbidden: User "ann" cannot list resource "deployments"); what nfo saw at 2026-05-01T11:00:00Z is used as well, which is up to 16 holders of a manifest.
`},
		"denied, of two": {reason: "of a store that was read, what is unused is listed", ask: question{namespace: "p", unused: true}, runs: denied,
			objects: []client.Object{store("acme"), plugintest.Manifest("m"), store("b", nobody), plugintest.Manifest("n", func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactStoreRef.Name = "b"; m.Status.Artifacts = nil })}, partial: true, want: `
artifactstores/p/acme (https://r.example.com/acme)
Nothing can be said to be unused.

artifactstores/p/b (https://r.example.com/b)
Running workloads were not checked, because the store has no spec.workloads: only definitions and designs count.
IMAGE      MANIFEST  HELD BY  STATE
b/n/new:1  n         -        Unused
b/n/upf:1  n         -        Unused

Incomplete: what runs of artifactstores/p/acme could not be read in full (Controllers: you may not: listing deployments: deployments is forbidden: User "ann" cannot list resource "deployments"); what nfo saw at 2026-05-01T11:00:00Z is used as well, which is up to 16 holders of a manifest.
`},
		"one store": {reason: "the other one was not asked for", ask: question{namespace: "p", store: "b"}, objects: []client.Object{store("acme"), plugintest.Manifest("m"), store("b")}, want: `
artifactstores/p/b (https://r.example.com/b)
No manifest lists an image of it, and no workload uses one.
`},
		"all namespaces": {reason: "stores of the same name are two", objects: []client.Object{store("b"), store("b", func(s *v1alpha1.ArtifactStore) { s.Namespace, s.Spec.Registry.URL = "o", "nonsense" })}, partial: true, want: `
artifactstores/o/b (nonsense)
No image of it is known.

artifactstores/p/b (https://r.example.com/b)
No manifest lists an image of it, and no workload uses one.

Incomplete: where the images of artifactstores/o/b are is not known: not a registry URL: the scheme is neither http nor https.
`},
		"no store": {reason: "there is nothing to list", ask: p, want: "\nNo ArtifactStore was found.\n"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			complete, err := lists(t, test.ask, test.runs, &table{out: &b, unused: test.ask.unused}, test.objects...)
			if err != nil || complete == test.partial {
				t.Errorf("%s: complete is %t, error %v", test.reason, complete, err)
			}
			got := squeeze(strings.ReplaceAll(b.String(), plugintest.Two, "TWO"))
			if diff := cmp.Diff(squeeze(strings.TrimPrefix(test.want, "\n")), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}

// squeeze replaces several spaces by one, because the widths of columns do not matter.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return strings.Join(lines, "\n")
}

func TestImagesAsJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	runs := workloadtest.Server{Objects: map[string][]string{"/apis/apps/v1/deployments": {workloadtest.Deployment("web", "r.example.com/acme/m/upf:1")}}}
	if complete, err := lists(t, question{}, runs, &document{out: terminal.Text(&b)}, store("acme"), plugintest.Manifest("m"), store("b", nobody)); err != nil || !complete {
		t.Fatal(complete, err)
	}
	var got struct{ Stores []stored }
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	want := []stored{
		{Namespace: "p", Store: "acme", URL: "https://r.example.com/acme", WorkloadsCount: true, Images: []image{
			{Image: "acme/m/new:1", Manifests: []string{"m"}, State: unused},
			{Image: "acme/m/upf:1", Manifests: []string{"m"}, HeldBy: []string{"deployments/ran/web"}, HeldByCount: 1, State: inUse},
		}},
		{Namespace: "p", Store: "b", URL: "https://r.example.com/b", Images: []image{}},
	}
	if diff := cmp.Diff(want, got.Stores); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.Reset()
	if _, err := lists(t, question{}, runs, &document{out: &b}); err != nil || b.String() != "{\"stores\": []}\n" {
		t.Errorf("of no store: %q, %v", b.String(), err)
	}
}

// A running chart holds all of its manifest. A chart that may be at any place is listed at none.
func TestI14AChartHoldsItsManifest(t *testing.T) {
	t.Parallel()
	whole := workload.Use{Holder: reference.Object{Kind: "HelmRelease", Namespace: "ran", Name: "web"}, Chart: "upf", Tag: "1", Whole: true}
	elsewhere := whole
	elsewhere.Chart = "smf"
	at := &place{namespace: "p", manifests: []*v1alpha1.ArtifactManifest{plugintest.Manifest("m")}}
	got := at.images(store("acme"), ran(whole, elsewhere))
	want := []image{
		{Image: "acme/m/new:1", Manifests: []string{"m"}, HeldBy: []string{"helmreleases/ran/web"}, HeldByCount: 1, State: inUse},
		{Image: "acme/m/upf:1", Manifests: []string{"m"}, HeldBy: []string{"helmreleases/ran/web"}, HeldByCount: 1, State: inUse},
	}
	if diff := cmp.Diff(want, got.Images); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHoldersAreBounded(t *testing.T) {
	t.Parallel()
	var uses []workload.Use
	for i := range 100 {
		uses = append(uses, workload.Use{Holder: reference.Object{Kind: "Deployment", Namespace: "ran", Name: "web-" + strings.Repeat("a", i)}, Repository: "acme/m/upf", Tag: "1"})
	}
	at := &place{namespace: "p", manifests: []*v1alpha1.ArtifactManifest{plugintest.Manifest("m")}}
	got := at.images(store("acme"), ran(uses...)).Images[1]
	if len(got.HeldBy) != namedHolders || got.HeldByCount != 100 || first(got.HeldBy, got.HeldByCount) != "deployments/ran/web- and 99 more" {
		t.Errorf("%d of %d holders are named: %s", len(got.HeldBy), got.HeldByCount, first(got.HeldBy, got.HeldByCount))
	}
}

func TestWhoAsksForNoStoreIsToldSo(t *testing.T) {
	t.Parallel()
	for reason, q := range map[string]question{
		"artifactstores/p/none does not exist":   {namespace: "p", store: "none"},
		"no namespace has an ArtifactStore none": {store: "none"},
	} {
		if _, err := lists(t, q, workloadtest.Server{}, &table{out: &bytes.Buffer{}}, store("acme")); err == nil || err.Error() != reason {
			t.Errorf("error %v, want %s", err, reason)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for reason, args := range map[string][]string{
		"there is nothing to name":    {"acme"},
		"no such output":              {"-o", "yaml"},
		"no such flag":                {"--used"},
		"a store is named by its own": {"--store"},
		"an account for an export":    {"--service-account", "loader"},
		"an address for an export":    {"--mirror", "--registry-address", "127.0.0.1:5000"},
		"a mirror for an export":      {"--mirror-namespace", "nfo-system"},
		"a host for an export":        {"--plain-http", "127.0.0.1:5000"},
		"signatures of an export":     {"--mirror", "--without-signatures"},
		"the progress of an export":   {"-q"},
		"no name to export to":        {"--export", ""},
		"nor for an account":          {"--export", "", "--service-account", "loader"},
	} {
		streams, _, _, _ := genericiooptions.NewTestIOStreams()
		cmd := NewCommand(streams, genericclioptions.NewConfigFlags(true))
		cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return plugin.Usage("%w", err) })
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(args)
		var coded *plugin.Error
		if err := cmd.ExecuteContext(t.Context()); !errors.As(err, &coded) || coded.Code != plugin.ExitUsage {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// full is a writer whose writes fail.
type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAnOutputThatIsNotWrittenIsAnError(t *testing.T) {
	t.Parallel()
	for reason, to := range map[string]writer{"table": &table{out: full{}}, "json": &document{out: full{}}} {
		if _, err := lists(t, question{}, workloadtest.Server{}, to, store("acme"), plugintest.Manifest("m")); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

func TestImagesCanBeShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	to := &table{out: &out}
	hostile := image{Image: plugintest.HostileText, Manifests: []string{plugintest.HostileText}, HeldBy: []string{"a\nb\tc"}, HeldByCount: 1, State: inUse}
	if err := errors.Join(to.store(stored{URL: plugintest.HostileText, Images: []image{hostile}, Incomplete: plugintest.HostileText + "\nx"}), to.end()); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), plugintest.Controls) || strings.Contains(out.String(), "\nb") || strings.Contains(out.String(), "\nx") {
		t.Errorf("it says %q", out.String())
	}
}
