package integration

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/chart/charttest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// chart packs a chart with one template and pushes it as Helm does.
func (s *scene) chart(manifest, artifact, values, template string) ocispec.Descriptor {
	s.t.Helper()
	name, version, _ := strings.Cut(artifact, ":")
	d, err := pushChart(s.t.Context(), s.inside.Host, repository(manifest, name), version, values, template)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func pushChart(ctx context.Context, host, repository, version, values, template string) (ocispec.Descriptor, error) {
	name := repository[strings.LastIndex(repository, "/")+1:]
	packed := charttest.Pack(name, map[string]string{
		"Chart.yaml": "{apiVersion: v2, name: " + name + ", version: " + version + "}", "values.yaml": values, "templates/all.yaml": template,
	})
	return registrytest.PushArtifact(ctx, host, repository, version,
		chart.ConfigMediaType, chart.ContentMediaType, []byte(`{"name":"`+name+`"}`), packed)
}

// images returns the state and repository of each chart image in a manifest's status.
func (s *scene) images(m *v1alpha1.ArtifactManifest) map[string]string {
	found := map[string]string{}
	if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range m.Status.Charts {
		for _, i := range c.Images {
			found[i.Image] = strings.TrimSuffix(string(i.State)+" "+i.Repository, " ")
		}
	}
	return found
}

const deployment = `
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: init, image: "{{ .Values.registry }}/init:1"}]
      containers:
      - {name: main, image: "{{ .Values.registry }}/main:1"}
      - {name: proxy, image: "{{ .Values.registry }}/base/proxy:1"}
`

// Images that a chart needs are found anywhere in the store. Those in another
// manifest are protected too, and the holder's detail includes the application.
func TestI1ImagesInAnotherManifestAreHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.store("acme"))
	s.image("upf", "main:1", "main")
	s.image("base", "init:1", "init")
	proxy := s.image("base", "proxy:1", "proxy")
	s.chart("upf", "app:1.0.0", "registry: docker.io/acme", deployment)
	m, base := s.manifest("upf", "app:1.0.0", "main:1"), s.manifest("base", "init:1", "proxy:1", "other:1")
	s.create(base, m)

	s.says(m, v1alpha1.ConditionComplete, "False/ForeignImage", "docker.io/acme/main:1 (chart app:1.0.0)", "registryValuesPaths")
	nfdv := s.definition("nfdv", "upf", "app:~1.0.0")
	nfdv.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.RegistryValuesPaths = []string{"registry"}
	s.create(nfdv)
	s.says(m, v1alpha1.ConditionComplete, "True/OtherManifest", "base/proxy:1 in base", "init:1 in base")
	want := map[string]string{
		"main:1": "InManifest acme/upf/main", "init:1": "OtherManifest acme/base/init", "base/proxy:1": "OtherManifest acme/base/proxy",
	}
	if diff := cmp.Diff(want, s.images(m)); diff != "" {
		t.Error(diff)
	}

	code, out, errOut := s.plugin("charts", "am/upf", "-n", s.ns)
	s.Expect(code).To(gomega.BeZero(), errOut)
	s.Expect(out).To(gomega.MatchRegexp(`base/proxy:1 +required +acme/base/proxy \(am/base\) +app/templates/\S+ Deployment/ spec.template.spec.containers.proxy.image`))

	s.says(base, v1alpha1.ConditionReferenced, "True/InUse", `"networkfunctiondefinitionversions/`+s.ns+`/nfdv" (artifact proxy:1, application app)`)
	s.says(m, v1alpha1.ConditionReferenced, "True/InUse", "(artifact app:1.0.0, application app)")
	s.eventually(nfdv, v1alpha1.ConditionReady, "True/Ready")
	apps := nfdv.Status.Applications
	s.Expect(apps).To(gomega.HaveLen(1))
	s.Expect(apps[0].Digest).To(gomega.Equal(s.at(repository("upf", "app"), "1.0.0")))
	s.Expect(slices.ContainsFunc(apps[0].Images, func(i v1alpha1.ChartImage) bool { return i.Digest == proxy.Digest.String() })).To(gomega.BeTrue())

	s.delete(base)
	s.eventually(base, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.Expect(s.at(repository("base", "proxy"), "1")).To(gomega.Equal(proxy.Digest.String()))
	s.delete(nfdv)
	s.goes(nfdv, base)
	s.Expect(s.at(repository("base", "proxy"), "1")).To(gomega.BeEmpty())
}

// If several definitions deploy a chart, the chart is read with the values paths of each: an image
// that only one definition needs is protected, and wrong paths of another definition hide nothing.
func TestI1ChartsAreReadForEachDefinition(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.store("acme"))
	s.image("upf", "main:1", "main")
	lib := s.image("base", "lib:1", "lib")
	s.chart("upf", "app:1.0.0", `registry: ""`, `{kind: Pod, spec: {containers: [{name: c, image: '{{ if .Values.registry }}{{ .Values.registry }}/main:1{{ else }}`+
		s.registry.Host+`/acme/base/lib:1{{ end }}'}]}}`)
	m, base := s.manifest("upf", "app:1.0.0", "main:1"), s.manifest("base", "lib:1")
	define := func(name string, paths ...string) *v1alpha1.NetworkFunctionDefinitionVersion {
		d := s.definition(name, "upf", "app:~1.0.0")
		d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.RegistryValuesPaths = paths
		return d
	}
	s.create(base, m, define("sets", "registry"))
	s.says(m, v1alpha1.ConditionComplete, "True/Complete", "(1 image, 1 chart)")

	s.create(define("none"))
	s.says(m, v1alpha1.ConditionComplete, "True/OtherManifest", "lib:1 in base")
	want := map[string]string{"main:1": "InManifest acme/upf/main", "acme/base/lib:1": "OtherManifest acme/base/lib"}
	if diff := cmp.Diff(want, s.images(m)); diff != "" {
		t.Error(diff)
	}
	s.eventually(base, v1alpha1.ConditionReferenced, "True/InUse")
	s.Eventually(func() string { return s.find(base, v1alpha1.ConditionReferenced).Message }).
		Should(gomega.ContainSubstring("definitionversions/" + s.ns + `/none" (artifact lib:1, application app)`))

	s.create(define("wrong", "registry.host"))
	s.says(m, v1alpha1.ConditionComplete, "False/ChartUnreadable", "with the values paths of wrong: ")
	if diff := cmp.Diff(want, s.images(m)); diff != "" {
		t.Error(diff)
	}
	s.delete(base)
	s.eventually(base, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.Expect(s.at(repository("base", "lib"), "1")).To(gomega.Equal(lib.Digest.String()))
}

// If a chart cannot be read, the condition says why, and everything stays protected (I2).
func TestI2ChartsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.store("acme"))
	for name, c := range map[string]struct{ template, says string }{
		"broken":  {`{{ fail "not today" }}`, "not today"},
		"hungry":  {`{{ repeat 4294967296 "x" }}`, "memory"},
		"nothing": {"", ""},
	} {
		s.chart(name, name+":1.0.0", "", c.template)
		m := s.manifest(name, name+":1.0.0")
		s.create(m)
		if c.says == "" {
			s.says(m, v1alpha1.ConditionComplete, "True/Complete", "0 images", "1 chart)")
			continue
		}
		s.says(m, v1alpha1.ConditionComplete, "False/ChartUnreadable", name+":1.0.0: ", c.says, "is still protected", "registryValuesPaths")
		s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	}
	none, err := registrytest.PushArtifact(t.Context(), s.inside.Host, repository("none", "none"), "1.0.0",
		chart.ConfigMediaType, "application/octet-stream", []byte("{}"), []byte("no chart"))
	s.Expect(err).NotTo(gomega.HaveOccurred(), "%v", none)
	m := s.manifest("none", "none:1.0.0")
	s.create(m)
	s.says(m, v1alpha1.ConditionComplete, "False/ChartUnreadable", "no layer of type")
}

// A definition references a version of an artifact that its manifest does not list at first.
func TestDefinitionOfWhatIsNotListed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.store("acme"))
	m, nfdv := s.manifest("m", "app:2.0.0"), s.definition("nfdv", "m", "app:~1.0.0")
	s.create(m, nfdv)
	s.says(nfdv, v1alpha1.ConditionResolved, "False/NotListed", "app:~1.0.0", "has 2.0.0")
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse") // one holder too many is safe
	change(s, m, func(o *v1alpha1.ArtifactManifest) {
		o.Spec.Artifacts = append(o.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "app", ArtifactVersion: "1.0.3"}, v1alpha1.ManifestArtifact{ArtifactName: "app", ArtifactVersion: "1.0.12"})
	})
	s.eventually(nfdv, v1alpha1.ConditionResolved, "True/Resolved")
	s.says(nfdv, v1alpha1.ConditionReady, "False/Missing", "app:1.0.12 of m (application app)")
	digest := s.image("m", "app:1.0.12", "app").Digest.String()
	s.eventually(nfdv, v1alpha1.ConditionReady, "True/Ready")
	s.Expect(nfdv.Status.Applications).To(gomega.HaveLen(1))
	s.Expect(nfdv.Status.Applications[0].Digest).To(gomega.Equal(digest))
}

// A chart whose reading takes as long as it may does not delay a deletion.
func TestSlowChartsKeepNoDeletionWaiting(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(func(o *environment.ManagerOptions) { o.PollsPerSecond = 1000 })
	s.create(s.store("acme"))
	// It uses all CPU time that a chart may have, and little memory, because exceeding the memory would end it sooner.
	loop := strings.Repeat(`{{ range until 1000 }}`, 6) + strings.Repeat(`{{ end }}`, 6)
	s.chart("slow", "slow:1.0.0", "", loop)
	slow, quick := s.manifest("slow", "slow:1.0.0"), s.manifest("quick", "a:1")
	s.image("quick", "a:1", "a")
	s.create(slow, quick)
	s.eventually(slow, v1alpha1.ConditionUploaded, "True/Complete")
	s.says(slow, v1alpha1.ConditionComplete, "Unknown/Pending", "0 of 1 charts have been read")
	s.eventually(quick, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(quick)
	s.goes(quick)
	s.Expect(s.condition(slow, v1alpha1.ConditionComplete)).To(gomega.Equal("Unknown/Pending"), "the chart was still being read")
	s.delete(slow)
	s.goes(slow)
}

// A manifest with the images of another manifest's chart is created and
// deleted. Both are noticed at once, even if the other manifest is sealed.
func TestImagesThatComeAndGo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.store("acme"))
	s.chart("upf", "app:1.0.0", "registry: none", `{kind: Pod, spec: {containers: [{image: "{{ .Values.registry }}/base/proxy:1"}]}}`)
	m, nfdv := s.manifest("upf", "app:1.0.0"), s.definition("nfdv", "upf", "app:1.0.0")
	m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	nfdv.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.RegistryValuesPaths = []string{"registry"}
	s.create(m, nfdv)
	s.eventually(m, v1alpha1.ConditionComplete, "False/MissingImage")

	base := s.manifest("base", "proxy:1")
	proxy := s.image("base", "proxy:1", "proxy")
	s.create(base)
	s.eventually(m, v1alpha1.ConditionComplete, "True/OtherManifest")
	s.eventually(base, v1alpha1.ConditionReferenced, "True/InUse")
	s.Eventually(func() string {
		s.condition(nfdv, "")
		return nfdv.Status.Applications[0].Images[0].Digest
	}).Should(gomega.Equal(proxy.Digest.String()))

	s.delete(nfdv)
	s.goes(nfdv)
	s.delete(base)
	s.goes(base)
	// Without the definition there are no registryValuesPaths.
	s.eventually(m, v1alpha1.ConditionComplete, "False/ForeignImage")
	s.Expect(m.Status.Charts[0].Images[0].Manifest).To(gomega.BeEmpty())
}
