package chart

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/chart/charttest"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

var app = inventory.Entry{Name: "app", Version: "1.0.0"}

// world has a manifest m that lists the chart app, and runs passes over it.
type world struct {
	*passtest.World
	t     *testing.T
	r     *Reconciler
	woken chan event.GenericEvent
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: passtest.NewWorld(t), t: t, woken: make(chan event.GenericEvent, 100)}
	reader, err := chart.NewReader(chart.Limits{}, 1, chartCommand...)
	if err != nil {
		t.Fatal(err)
	}
	w.r = &Reconciler{
		Client: w.API, Live: w.API, Holders: w.Finder(), Registries: w.Registries(), Reader: reader, Readings: NewReadings(), Wake: w.woken,
		Lane: lane.New(lane.Charts, w.Speeds(), w.Clock),
	}
	m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta("m")}
	m.Spec.ArtifactStoreRef.Name, m.Spec.UploadPath = "acme", v1alpha1.ManifestScoped
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: app.Name, ArtifactVersion: app.Version}}
	if err := w.API.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return w
}

// archive is a chart with a pod whose image comes from the values.
var archive = packed("registry: quay.io", "{{ .Values.registry }}/acme/upf:1")

// packed returns a chart with values, and a pod whose image is a template.
func packed(values, image string) []byte {
	return charttest.Pack("app", map[string]string{
		"Chart.yaml":         "apiVersion: v2\nname: app\nversion: 1.0.0\nappVersion: \"7\"\n",
		"values.yaml":        values + "\n",
		"templates/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: '" + image + "'}]}\n",
	})
}

// push pushes the listed artifact with a layer of a type, and records it in the manifest's status.
func (w *world) push(layerType string, layer []byte) {
	w.t.Helper()
	d, err := registrytest.PushArtifact(w.t.Context(), w.Host, "acme/m/app", "1.0.0", chart.ConfigMediaType, layerType, []byte("{}"), layer)
	if err != nil {
		w.t.Fatal(err)
	}
	m := w.manifest()
	m.Status.Artifacts = []v1alpha1.ArtifactStatus{{
		ArtifactName: app.Name, ArtifactVersion: app.Version, Repository: "acme/m/app", Digest: d.Digest.String(), ConfigMediaType: chart.ConfigMediaType, State: v1alpha1.ArtifactPresent,
	}}
	w.write(m)
}

func (w *world) manifest() *v1alpha1.ArtifactManifest {
	w.t.Helper()
	m := &v1alpha1.ArtifactManifest{}
	if err := w.API.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: "m"}, m); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) write(m *v1alpha1.ArtifactManifest) {
	w.t.Helper()
	if err := w.API.Status().Update(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

// pass runs one pass. It returns how many requests the pass made,
// the reading of the chart, and whether the manifest was woken.
func (w *world) pass() (requests int, read v1alpha1.ChartStatus, woken bool) {
	w.t.Helper()
	w.Forget()
	_, _ = w.r.Reconcile(w.t.Context(), w.manifest()) // errors are in the readings
	for len(w.woken) > 0 {
		<-w.woken
		woken = true
	}
	return w.Count(nil), w.r.Readings.Get(w.manifest().UID).Charts[app], woken
}

func TestAChartIsReadOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if n, _, woken := w.pass(); n > 0 || woken {
		t.Errorf("before anything is there, %d requests are made", n)
	}
	w.push(chart.ContentMediaType, archive)
	_, read, woken := w.pass()
	if !woken || read.Name != "app" || read.AppVersion != "7" || len(read.Images) != 1 || read.Images[0].Image != "quay.io/acme/upf:1" || read.Problem != "" {
		t.Errorf("the manifest was woken: %t; read was %+v", woken, read)
	}
	if n, _, woken := w.pass(); n > 0 || woken {
		t.Errorf("it is read again before it is written, with %d requests", n)
	}
	m := w.manifest()
	m.Status.Charts = []v1alpha1.ChartStatus{read}
	w.write(m)
	w.r.Readings.Written(m)
	if n, _, woken := w.pass(); n > 0 || woken {
		t.Errorf("it is read again after it was written, with %d requests", n)
	}
	if err := w.API.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// If a definition deploys the chart in another way, the chart must be read again with
// all values paths of the definition, although the cache does not keep that many.
func TestAChartIsReadAsItIsDeployed(t *testing.T) {
	t.Parallel()
	for name, paths := range map[string]int{"few paths": 1, "more than the cache keeps": 5_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.push(chart.ContentMediaType, archive)
			w.define("d", v1alpha1.VersionPreview, slices.Repeat([]string{"registry"}, paths)...)
			w.r.Client = trimming(t, w.API)
			if _, read, _ := w.pass(); len(read.RegistryValuesPaths) != 1 || read.RegistryValuesPaths[0] != "registry" {
				t.Errorf("it was read with the paths %v", read.RegistryValuesPaths)
			}
		})
	}
}

// define creates a definition that deploys the chart with these registryValuesPaths.
func (w *world) define(name string, state v1alpha1.VersionState, paths ...string) {
	w.t.Helper()
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: passtest.Meta(name)}
	d.Spec.VersionState = state
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = make([]v1alpha1.NetworkFunctionApplication, 1)
	profile := &d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile
	profile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: "m"}
	profile.HelmArtifactProfile = v1alpha1.HelmArtifactProfile{HelmPackageName: "app", HelmPackageVersionRange: "~1.0.0", RegistryValuesPaths: paths}
	if err := w.API.Create(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
}

// Definitions may deploy one chart in several ways. The images of
// each way must be found, and no way may hide what another one needs.
func TestI1AChartIsReadForEachDefinition(t *testing.T) {
	t.Parallel()
	const clash = "{{ .Values.image.registry }}/upf:1"
	for name, tc := range map[string]struct {
		reason, values, image string
		a, b                  []string
		images                []string
		problem               []string
	}{
		"Branches": {
			"each takes another branch of a template", `registry: ""`, "{{ if .Values.registry }}{{ .Values.registry }}/upf:1{{ else }}HOST/acme/base/lib:1{{ end }}",
			[]string{"registry"}, nil, []string{"Missing acme/base/lib:1", "Missing upf:1"}, nil,
		},
		"Foreign": {
			"one sets no registry, so that its images come from another one", "registry: quay.io", "{{ .Values.registry }}/upf:1",
			[]string{"registry"}, nil, []string{"Missing upf:1", "Foreign quay.io/upf:1"}, nil,
		},
		"Clash": {
			"the paths of one are wrong", "image: {registry: quay.io}", clash,
			[]string{"image.registry"}, []string{"image"}, []string{"Missing upf:1"}, []string{"with the values paths of b: "},
		},
		"Both": {
			"the paths of both are wrong", "image: {registry: quay.io}", clash,
			[]string{"image", "image.registry.x"}, []string{"image"}, nil, []string{"with the values paths of a: ", "with the values paths of b: "},
		},
		"Broken": {"it is wrong whatever the paths", "registry: quay.io", `{{ fail "no" }}`, []string{"registry"}, nil, nil, []string{"no"}},
		"Same":   {"both deploy it the same way", "registry: quay.io", "{{ .Values.registry }}/upf:1", []string{"registry"}, []string{"registry"}, []string{"Missing upf:1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.push(chart.ContentMediaType, packed(tc.values, strings.ReplaceAll(tc.image, "HOST", w.Host)))
			w.define("a", v1alpha1.VersionActive, tc.a...)
			w.define("b", v1alpha1.VersionPreview, tc.b...)
			_, read, _ := w.pass()
			var got []string
			for _, i := range read.Images {
				if !i.Optional {
					got = append(got, string(i.State)+" "+i.Image)
				}
			}
			if diff := cmp.Diff(tc.images, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
			if (read.Problem == "") != (len(tc.problem) == 0) || len(tc.problem) < 2 && strings.Contains(read.Problem, "of a") {
				t.Errorf("%s: the problem is %q", tc.reason, read.Problem)
			}
			for _, says := range tc.problem {
				if !strings.Contains(read.Problem, says) {
					t.Errorf("%s: the problem is %q, want one that says %q", tc.reason, read.Problem, says)
				}
			}
		})
	}
}

// The reading of an earlier version of nfo must stay in use until the chart has been read again (I2).
func TestI2AnUpgradeForgetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(chart.ContentMediaType, archive)
	w.define("a", v1alpha1.VersionActive, "registry")
	m := w.manifest()
	was := v1alpha1.ChartStatus{
		ArtifactName: app.Name, ArtifactVersion: app.Version, Digest: m.Status.Artifacts[0].Digest, Reader: "2", RegistryValuesPaths: []string{"registry"},
		Images: []v1alpha1.ChartImage{{Image: "base/lib:1", State: v1alpha1.ImageOtherManifest, Manifest: "base", Repository: "acme/base/lib"}},
	}
	m.Status.Charts = []v1alpha1.ChartStatus{was}
	w.write(m)
	w.Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	w.pass()
	if diff := cmp.Diff(was, w.r.Readings.Get(m.UID).Over(w.manifest().Status.Charts)[app]); diff != "" {
		t.Errorf("while it cannot be read: -want +got\n%s", diff)
	}
	w.Intercept(nil)
	if _, read, woken := w.pass(); !woken || len(read.Images) != 1 || read.Images[0].Image != "acme/upf:1" || read.Reader == was.Reader {
		t.Errorf("it is read anew: %t, %+v", woken, read)
	}
}

// trimming returns a cache that shortens objects as the manager's does.
func trimming(t *testing.T, api client.Client) client.Client {
	t.Helper()
	watching, ok := api.(client.WithWatch)
	if !ok {
		t.Fatal("the client cannot be intercepted")
	}
	return interceptor.NewClient(watching, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		err := c.Get(ctx, key, o, opts...)
		livelist.Trim(o)
		return err
	}})
}

// A chart that cannot be read is retried, without a problem of
// the chart. An artifact that is not a chart is reported once.
func TestAChartThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(chart.ContentMediaType, archive)
	w.Intercept(func(rw http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/blobs/") {
			rw.WriteHeader(http.StatusForbidden)
		}
		return strings.Contains(req.URL.Path, "/blobs/")
	})
	_, read, _ := w.pass()
	if trouble := w.r.Readings.Get(w.manifest().UID).Trouble; trouble == nil || read.Digest != "" {
		t.Errorf("the trouble is %v, and read was %+v", trouble, read)
	}
	w.Intercept(nil)
	if _, read, _ := w.pass(); read.Name != "app" || w.r.Readings.Get(w.manifest().UID).Trouble != nil {
		t.Errorf("when it can be read again: %+v", read)
	}
	w.push("application/octet-stream", []byte("no chart"))
	if _, read, _ := w.pass(); !strings.Contains(read.Problem, "no layer of type") {
		t.Errorf("of what is not a chart it is said %q", read.Problem)
	}
	if n, _, _ := w.pass(); n > 0 {
		t.Errorf("what is not a chart is read again, with %d requests", n)
	}
	w.push(chart.ContentMediaType, []byte("no archive"))
	if _, read, _ := w.pass(); read.Problem == "" {
		t.Errorf("a broken chart has no problem: %+v", read)
	}
}

// Nothing may be read while the store is missing or inert, or while others have the places in the registry.
func TestNoChartIsReadWithoutAStoreOrAPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(chart.ContentMediaType, archive)
	leave, _ := w.r.Lane.Enter(w.Store, "somebody")
	result, err := w.r.Reconcile(t.Context(), w.manifest())
	if err != nil || result.RequeueAfter == 0 || result.RequeueAfter > 5*time.Second {
		t.Errorf("while no place, it comes again after %s, %v", result.RequeueAfter, err)
	}
	leave()
	s := &v1alpha1.ArtifactStore{}
	if err := w.API.Get(t.Context(), client.ObjectKeyFromObject(w.Store), s); err != nil {
		t.Fatal(err)
	}
	apimeta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPathConflict})
	if err := w.API.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n, _, woken := w.pass(); n > 0 || woken {
		t.Errorf("in a store that does nothing, %d requests are made", n)
	}
	if err := w.API.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s = &v1alpha1.ArtifactStore{}
	if err := w.API.Get(t.Context(), client.ObjectKeyFromObject(w.Store), s); err == nil {
		s.Finalizers = nil
		if err := w.API.Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if n, _, woken := w.pass(); n > 0 || woken {
		t.Errorf("without a store, %d requests are made", n)
	}
}
