package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/test/environment"
)

// TestImportedObjectsAreValid checks the objects with the API server, including its CEL rules and defaults.
func TestImportedObjectsAreValid(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	strict := client.WithFieldValidation(env.Client, "Strict")
	files, err := filepath.Glob(filepath.Join(environment.Root(), "internal/aosm/testdata/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	var parameters input.Parameters
	if err := parameters.Set("version=1.0.0"); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := aosm.Import(strings.NewReader(string(data)), aosm.Options{
			Parameters: parameters, Namespace: s.ns,
			Registries: map[string]string{"main": "https://registry.example.com/main", "contoso-store": "https://registry.example.com/contoso"},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Objects {
			u, err := aosm.Applied(o)
			if err != nil {
				t.Fatal(err)
			}
			count[u.GetKind()]++
			err = strict.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("test"), client.DryRunAll)
			if err != nil {
				t.Errorf("%s: %s %s: %v", filepath.Base(file), u.GetKind(), u.GetName(), err)
			}
		}
	}
	for _, kind := range []string{"ArtifactStore", "ArtifactManifest", "NetworkFunctionDefinitionVersion", "NetworkServiceDesignVersion", "SiteNetworkService"} {
		if count[kind] == 0 {
			t.Errorf("no %s is in the test data", kind)
		}
	}
}

// imports runs `kubectl nfo import` with an input in the scene's namespace.
func (s *scene) imports(input string, args ...string) (code int, out, errOut string) {
	s.t.Helper()
	cmd := s.pluginCommand(append([]string{"import", "-f", "-", "-n", s.ns}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	return s.run(cmd)
}

// listing returns an answer of Azure's REST API with one manifest, m of the store acme.
func listing(artifacts ...string) string {
	var entries []string
	for _, a := range artifacts {
		name, version, _ := strings.Cut(a, ":")
		entries = append(entries, fmt.Sprintf(`{"artifactName": %q, "artifactVersion": %q}`, name, version))
	}
	return `{"id": "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/acme/artifactManifests/m", "properties": {"artifacts": [` + strings.Join(entries, ", ") + `]}}`
}

func TestImportAgainReleasesNothingUnasked(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	m := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta("m")}
	lists := func() string {
		s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m)).To(gomega.Succeed())
		var all []string
		for _, a := range m.Spec.Artifacts {
			all = append(all, a.ArtifactName+":"+a.ArtifactVersion)
		}
		return strings.Join(all, " ")
	}
	code, _, errOut := s.imports(listing("a:1", "a:2", "b:1"), "--api-version", "2025-03-30")
	s.Expect(code).To(gomega.BeZero(), errOut)
	for _, dryRun := range []string{"--dry-run=server", "--dry-run=none"} {
		for _, less := range []string{listing("a:2"), listing("a:2", "c:1")} {
			code, out, errOut := s.imports(less, "--api-version", "2025-03-30", dryRun)
			s.Expect(code).To(gomega.Equal(1), out)
			s.Expect(errOut).To(gomega.ContainSubstring("it lists what the file does not, and would release it: a:1, b:1; import a file that has all of it, or release it with --allow-removal"))
			s.Expect(lists()).To(gomega.Equal("a:1 a:2 b:1"))
		}
	}
	code, _, errOut = s.imports(listing(), "--api-version", "2025-03-30")
	s.Expect(code).To(gomega.Equal(1), errOut)
	code, _, errOut = s.imports(strings.Replace(listing(), `"artifacts": []`, "", 1), "--api-version", "2025-03-30")
	s.Expect(code).To(gomega.Equal(3), errOut)
	s.Expect(lists()).To(gomega.Equal("a:1 a:2 b:1"))

	// An entry that another client has added is not removed by an import.
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "mine", ArtifactVersion: "1"})
	})
	code, _, errOut = s.imports(listing("a:1", "a:2", "b:1"), "--api-version", "2025-03-30")
	s.Expect(code).To(gomega.BeZero(), errOut)
	code, _, errOut = s.imports(listing("a:2"), "--api-version", "2025-03-30", "--allow-removal")
	s.Expect(code).To(gomega.BeZero(), errOut)
	s.Expect(lists()).To(gomega.Equal("a:2 mine:1"))
}

// A second import of a definition with fewer references is refused, so that the definition still holds what it held.
func TestImportAgainDropsNoHold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	app := func(name, manifest string) string {
		return `{"name": "` + name + `", "artifactProfile": {"artifactStore": {"id": "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/acme/artifactManifests/` + manifest + `"},
			"helmArtifactProfile": {"helmPackageName": "a", "helmPackageVersionRange": "1"}}}`
	}
	version := func(apps string) string {
		return `{"id": "/providers/Microsoft.HybridNetwork/publishers/p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0.0", "properties": {"networkFunctionTemplate":
			{"networkFunctionApplications": [` + apps + `]}}}`
	}
	code, _, errOut := s.imports(version(app("a", "m") + "," + app("b", "n")))
	s.Expect(code).To(gomega.BeZero(), errOut)
	code, _, errOut = s.imports(version(app("a", "m")))
	s.Expect(code).To(gomega.Equal(1), errOut)
	s.Expect(errOut).To(gomega.ContainSubstring("it names what the file does not, and would hold it no more: artifactmanifests/" + s.ns + "/n;"))
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta("g-1.0.0")}
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(d), d)).To(gomega.Succeed())
	s.Expect(d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications).To(gomega.HaveLen(2))
	code, _, errOut = s.imports(version(app("a", "m")), "--allow-removal")
	s.Expect(code).To(gomega.BeZero(), errOut)
}

func TestImportAgainLeavesWhatWasMigrated(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const old = "2024-04-15"
	version := `{"id": "/providers/Microsoft.HybridNetwork/publishers/p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0.0", "properties": {"networkFunctionTemplate":
		{"networkFunctionApplications": [{"name": "a", "artifactProfile": {"artifactStore": {"id": "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/acme"},
		"helmArtifactProfile": {"helmPackageName": "a", "helmPackageVersionRange": "1"}}}]}}}`
	estate := "[" + listing("a:1") + "," + version + "]"
	code, _, errOut := s.imports(estate, "--api-version", old)
	s.Expect(code).To(gomega.BeZero(), errOut)
	m, d := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta("m")}, &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta("g-1.0.0")}
	change(s, m, func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.ManifestScoped })
	change(s, d, func(d *v1alpha1.NetworkFunctionDefinitionVersion) {
		d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactSource = v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "m"}}
	})
	for _, args := range [][]string{{"--dry-run=server"}, {}, {"--force-conflicts"}} {
		code, out, errOut := s.imports(estate, append(args, "--api-version", old)...)
		s.Expect(code).To(gomega.BeZero(), errOut)
		s.Expect(out).To(gomega.BeEmpty())
		for _, kind := range []string{"ArtifactManifest " + s.ns + "/m", "NetworkFunctionDefinitionVersion " + s.ns + "/g-1.0.0"} {
			s.Expect(errOut).To(gomega.ContainSubstring("note: " + kind + ": it is in the new form already, and the file has the old one: it is left as it is\n"))
		}
	}
	for _, o := range []client.Object{m, d} {
		generation := o.GetGeneration()
		s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o)).To(gomega.Succeed())
		s.Expect(o.GetGeneration()).To(gomega.Equal(generation))
	}
	// Other entries of the file are still compared and reported.
	code, _, errOut = s.imports(listing("a:1", "b:1"), "--api-version", old)
	s.Expect(code).To(gomega.Equal(1))
	s.Expect(errOut).To(gomega.ContainSubstring("does not list b:1"))
}

// Answers of the REST API contain states and full IDs. A template
// that is imported later contains neither, and must not change them.
func TestImportKeepsWhatAnswersSaid(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const publisher = "/providers/Microsoft.HybridNetwork/publishers/p/"
	answers := func(scope string) string {
		return `[{"id": "` + scope + publisher + `artifactStores/acme/artifactManifests/m", "properties": {"artifactManifestState": "Uploaded", "artifacts": [{"artifactName": "a", "artifactVersion": "1"}]}},
			{"id": "` + scope + publisher + `networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0.0", "properties": {"versionState": "Active", "networkFunctionTemplate": {"networkFunctionApplications": [{"name": "a",
			"artifactProfile": {"artifactStore": {"id": "` + publisher + `artifactStores/acme/artifactManifests/m"}, "helmArtifactProfile": {"helmPackageName": "a", "helmPackageVersionRange": "1"}}}]}}}]`
	}
	const first, second = "/subscriptions/1/resourceGroups/rg", "/subscriptions/2/resourceGroups/rg"
	template := `{"$schema": "deploymentTemplate.json#", "resources": [
		{"type": "Microsoft.HybridNetwork/publishers/artifactStores/artifactManifests", "apiVersion": "2025-03-30", "name": "p/acme/m", "properties": {"artifacts": [{"artifactName": "a", "artifactVersion": "1"}]}},
		{"type": "Microsoft.HybridNetwork/publishers/networkFunctionDefinitionGroups/networkFunctionDefinitionVersions", "apiVersion": "2025-03-30", "name": "p/g/1.0.0", "properties": {"networkFunctionTemplate": {"networkFunctionApplications": [{"name": "a",
		"artifactProfile": {"artifactStore": {"id": "` + publisher + `artifactStores/acme/artifactManifests/m"}, "helmArtifactProfile": {"helmPackageName": "a", "helmPackageVersionRange": "1"}}}]}}}]}`
	code, _, errOut := s.imports(answers(first))
	s.Expect(code).To(gomega.BeZero(), errOut)
	m, d := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta("m")}, &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta("g-1.0.0")}
	for _, args := range [][]string{{"--dry-run=server"}, {}, {"--force-conflicts"}} {
		code, _, errOut = s.imports(template, args...)
		s.Expect(code).To(gomega.BeZero(), errOut)
		for _, o := range []client.Object{m, d} {
			s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o)).To(gomega.Succeed())
			s.Expect(o.GetAnnotations()[aosm.AnnotationID]).To(gomega.HavePrefix(first))
			s.Expect(o.GetGeneration()).To(gomega.BeEquivalentTo(1), "a template that follows changes nothing")
		}
		s.Expect(m.Spec.ArtifactManifestState).To(gomega.Equal(v1alpha1.ManifestUploaded))
		s.Expect(d.Spec.VersionState).To(gomega.Equal(v1alpha1.VersionActive))
	}
	code, _, errOut = s.imports(answers(second))
	s.Expect(code).To(gomega.Equal(1), errOut)
	s.Expect(errOut).To(gomega.ContainSubstring("stands for \"" + first))
}

// If the API version of an answer is given later, the import moves the
// sealed manifest, which is then unsealed until its artifacts are seen.
func TestImportMovesASealedManifest(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	sealed := strings.Replace(listing("a:1"), `"properties": {`, `"properties": {"artifactManifestState": "Uploaded", `, 1)
	code, _, errOut := s.imports(sealed)
	s.Expect(code).To(gomega.Equal(3), errOut)
	s.Expect(errOut).To(gomega.ContainSubstring("the API version of the manifest m of the store p/acme is not in the input"))
	m := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta("m")}
	s.Expect(s.gone(m)).To(gomega.BeTrue())
	code, _, errOut = s.imports(sealed, "--api-version", "2024-04-15")
	s.Expect(code).To(gomega.BeZero(), errOut)
	code, _, errOut = s.imports(sealed, "--api-version", "p/acme=2025-03-30")
	s.Expect(code).To(gomega.Equal(3), errOut)
	s.Expect(errOut).To(gomega.ContainSubstring("import again to seal it"))
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m)).To(gomega.Succeed())
	s.Expect(m.Spec.UploadPath).To(gomega.Equal(v1alpha1.ManifestScoped))
	s.Expect(m.Spec.ArtifactManifestState).To(gomega.Equal(v1alpha1.ManifestUploading))
}

// A definition that a design references by an ID in the deployment's own scope is held like any other.
func TestImportedDesignHoldsItsDefinition(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	s.create(s.store("acme"), s.manifest("m", "a:1"), s.definition("smf-1.0.0", "m", "a"))
	code, _, errOut := s.imports(`{"$schema": "deploymentTemplate.json#", "resources": [{"type": "Microsoft.HybridNetwork/publishers/networkServiceDesignGroups/networkServiceDesignVersions", "apiVersion": "2025-03-30", "name": "p/core/1.0.0",
		"properties": {"resourceElementTemplates": [{"name": "smf", "type": "ArmResourceDefinition", "configuration": {"parameterValues":
		"[format('{{\"nfdvId\": \"{0}\"}}', resourceId('Microsoft.HybridNetwork/publishers/networkFunctionDefinitionGroups/networkFunctionDefinitionVersions', 'p', 'smf', '1.0.0'))]"}}]}}]}`)
	s.Expect(code).To(gomega.BeZero(), errOut)
	design := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: s.meta("core-1.0.0")}
	s.eventually(design, v1alpha1.ConditionResolved, "True/Resolved")
	err := env.Client.Delete(t.Context(), &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta("smf-1.0.0")})
	s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("core-1.0.0")))
}
