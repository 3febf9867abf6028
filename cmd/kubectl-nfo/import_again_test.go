package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
)

// scratch is a cluster without a manager, for consecutive imports.
type scratch struct {
	t   *testing.T
	api client.Client
}

func newScratch(t *testing.T) *scratch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return &scratch{t, fake.NewClientBuilder().WithScheme(scheme).Build()}
}

// imports imports one file as the command does.
func (s *scratch) imports(input string, change ...func(*importFlags)) (code int, says string) {
	s.t.Helper()
	var out bytes.Buffer
	namespace, streams := "", genericiooptions.IOStreams{In: strings.NewReader(input), Out: &out, ErrOut: &out}
	f := &importFlags{files: []string{"-"}, print: genericclioptions.NewPrintFlags("applied"), config: &genericclioptions.ConfigFlags{Namespace: &namespace}, streams: streams}
	for _, c := range change {
		c(f)
	}
	options, err := f.options()
	if err != nil {
		s.t.Fatal(err)
	}
	printer, err := f.printer()
	if err != nil {
		s.t.Fatal(err)
	}
	sources, err := f.sources()
	if err != nil {
		s.t.Fatal(err)
	}
	err = f.importInto(s.t.Context(), &applier{importFlags: f, api: s.api}, sources, options, printer)
	if coded := (*plugin.Error)(nil); errors.As(err, &coded) {
		return coded.Code, fmt.Sprint(out.String(), err)
	}
	return 0, out.String()
}

func versioned(date string) func(*importFlags) {
	return func(f *importFlags) { f.apiVersions = []string{date} }
}

func registered(pairs ...string) func(*importFlags) {
	return func(f *importFlags) { f.registries = pairs }
}

// objects returns all objects of the cluster, with only the fields that an import decides.
func (s *scratch) objects() []string {
	s.t.Helper()
	var all []string
	for _, list := range []client.ObjectList{&corev1.NamespaceList{}, &v1alpha1.ArtifactStoreList{}, &v1alpha1.ArtifactManifestList{}, &v1alpha1.NetworkFunctionDefinitionVersionList{}, &v1alpha1.NetworkServiceDesignVersionList{}, &v1alpha1.SiteNetworkServiceList{}} {
		if err := s.api.List(s.t.Context(), list); err != nil {
			s.t.Fatal(err)
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(list)
		if err != nil {
			s.t.Fatal(err)
		}
		items, _ := content["items"].([]any)
		for _, item := range items {
			o, _ := item.(map[string]any)
			meta, _ := o["metadata"].(map[string]any)
			text, err := yaml.Marshal(map[string]any{"in": meta["namespace"], "name": meta["name"], "annotations": meta["annotations"], "labels": meta["labels"], "spec": o["spec"]})
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%T\n%s", list, text))
		}
	}
	slices.Sort(all)
	return all
}

const (
	providers   = "/providers/Microsoft.HybridNetwork/publishers/"
	firstScope  = "/subscriptions/0001/resourceGroups/rg" + providers
	secondScope = "/subscriptions/0002/resourceGroups/rg" + providers
	newest      = "2025-03-30"
	sealedSmf   = `"artifactManifestState": "Uploaded", `
)

// estate returns the resources of a publisher, as answers from a subscription or for a template. The answers have states.
func estate(base string, answer bool) []string {
	state := func(s string) string {
		if answer {
			return s
		}
		return ""
	}
	of := func(path, properties string) string {
		if answer {
			return fmt.Sprintf(`{"id": %q, "properties": %s}`, base+path, properties)
		}
		var types, names []string
		for i, part := range strings.Split("publishers/"+path, "/") {
			if i%2 == 0 {
				types = append(types, part)
			} else {
				names = append(names, part)
			}
		}
		return fmt.Sprintf(`{"type": "Microsoft.HybridNetwork/%s", "apiVersion": "2025-03-30", "name": %q, "properties": %s}`, strings.Join(types, "/"), strings.Join(names, "/"), properties)
	}
	return []string{
		of("globex/artifactStores/main", `{"storeType": "AzureContainerRegistry"`+state(`, "storageResourceId": "/subscriptions/0/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/abcde"`)+`}`),
		of("globex/artifactStores/main/artifactManifests/smf-1-0-0", `{`+state(sealedSmf)+`"artifacts": [{"artifactName": "smf", "artifactVersion": "1.0.0"}]}`),
		of("globex/networkFunctionDefinitionGroups/smf/networkFunctionDefinitionVersions/1.0.0", `{`+state(`"versionState": "Active", `)+`"networkFunctionTemplate": {"networkFunctionApplications": [{"name": "smf", "artifactProfile":
			{"artifactStore": {"id": "`+providers+`globex/artifactStores/main/artifactManifests/smf-1-0-0"}, "helmArtifactProfile": {"helmPackageName": "smf", "helmPackageVersionRange": "1.0.0"}}}]}}`),
		of("globex/networkServiceDesignGroups/core/networkServiceDesignVersions/1.0.0", `{`+state(`"versionState": "Deprecated", `)+`"resourceElementTemplates": [{"name": "smf", "type": "ArmResourceDefinition", "configuration": {
			"parameterValues": "{\"nfdv\": \"`+providers+`globex/networkFunctionDefinitionGroups/smf/networkFunctionDefinitionVersions/1.0.0\"}"}}]}`),
	}
}

func asTemplate(resources []string) string {
	return `{"$schema": "deploymentTemplate.json#", "resources": [` + strings.Join(resources, ",") + `]}`
}

func asAnswer(resources []string) string { return "[" + strings.Join(resources, ",") + "]" }

// TestImportInAnyOrder checks that answers and templates lead to the same objects, whole or in parts, once or repeatedly.
func TestImportInAnyOrder(t *testing.T) {
	t.Parallel()
	const seed = 20250330
	random := rand.New(rand.NewPCG(seed, seed))
	answers, resources := estate(firstScope, true), estate("", false)
	register := registered("main=https://registry.example.com/globex")
	var want []string
	for round := range 60 {
		steps := []string{asTemplate(resources)}
		for _, a := range answers {
			steps = append(steps, asAnswer([]string{a}))
		}
		for range random.IntN(4) {
			part := slices.Clone(resources)
			random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
			steps = append(steps, asTemplate(part[:1+random.IntN(len(part))]), asAnswer(answers[:1+random.IntN(len(answers))]), asTemplate(part)+asAnswer(answers))
		}
		random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		s := newScratch(t)
		for _, step := range steps {
			if code, says := s.imports(step, versioned(newest), register); code == plugin.ExitFailed || (code == plugin.ExitNotMapped && strings.Count(says, "no store of the input") != 1) {
				t.Fatalf("seed %d, round %d: exit code %d: %s\nof %s", seed, round, code, says, step)
			}
		}
		got := s.objects()
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, round %d: the objects are\n%s\nnot\n%s", seed, round, strings.Join(got, "---\n"), strings.Join(want, "---\n"))
		}
	}
	for _, part := range []string{"artifactManifestState: Uploaded", "versionState: Active", "versionState: Deprecated", firstScope + "globex/artifactStores/main", "name: smf-1.0.0"} {
		if !strings.Contains(strings.Join(want, ""), part) {
			t.Errorf("%q is missing in %s", part, want)
		}
	}
}

// step is one import into a cluster, with the expected result.
type step struct {
	input  string
	change []func(*importFlags)
	code   int
	says   string
}

// TestImportAgain checks that an import keeps what earlier imports have set.
func TestImportAgain(t *testing.T) {
	t.Parallel()
	answers, others, resources := estate(firstScope, true), estate(secondScope, true), estate("", false)
	of := func(input string, code int, says string, change ...func(*importFlags)) step {
		return step{input, change, code, says}
	}
	latest, register := versioned(newest), registered("main=https://registry.example.com/globex")
	site := func(group string) string {
		return fmt.Sprintf(`{"id": "/subscriptions/0/resourceGroups/%s/providers/Microsoft.HybridNetwork/siteNetworkServices/core", "properties": {"networkServiceDesignVersionResourceReference": {"id": %q}}}`,
			group, firstScope+"globex/networkServiceDesignGroups/core/networkServiceDesignVersions/1.0.0")
	}
	siteTemplate := asTemplate([]string{`{"type": "Microsoft.HybridNetwork/siteNetworkServices", "apiVersion": "2025-03-30", "name": "core", "properties": {"networkServiceDesignVersionResourceReference":
		{"id": "` + providers + `globex/networkServiceDesignGroups/core/networkServiceDesignVersions/1.0.0"}}}`})
	for name, tc := range map[string]struct {
		reason     string
		steps      []step
		has, lacks []string
		sites      int
	}{
		"Sealed":        {"a template after answers", []step{of(asAnswer(answers), 0, "", latest), of(asTemplate(resources), 0, "")}, []string{"artifactManifestState: Uploaded", "versionState: Active", "versionState: Deprecated", "https://abcde.azurecr.io"}, nil, 0},
		"SealedForce":   {"with --force-conflicts", []step{of(asAnswer(answers), 0, "", latest), of(asTemplate(resources), 0, "", func(f *importFlags) { f.forceConflicts = true })}, []string{"artifactManifestState: Uploaded", "versionState: Active"}, nil, 0},
		"SealedLater":   {"answers after a template", []step{of(asTemplate(resources), 0, "", register), of(asAnswer(answers), 0, "and keeps it", latest)}, []string{"artifactManifestState: Uploaded", "versionState: Active", "registry.example.com/globex"}, []string{"azurecr.io"}, 0},
		"Identity":      {"an id of another subscription after a template", []step{of(asAnswer(answers), 0, "", latest), of(asAnswer(others), 1, "stands for", latest), of(asTemplate(resources), 0, ""), of(asAnswer(others), 1, "stands for", latest)}, []string{firstScope}, []string{secondScope}, 0},
		"IdentityLater": {"a template first", []step{of(asTemplate(resources), 0, "", register), of(asAnswer(answers), 0, "", latest, register), of(asAnswer(others), 1, "stands for", latest, register)}, []string{firstScope}, []string{secondScope}, 0},
		"IdentityOne":   {"one manifest alone", []step{of(answers[1], 0, "", latest), of(asTemplate(resources[1:2]), 0, ""), of(others[1], 1, "stands for", latest)}, []string{firstScope}, []string{secondScope}, 0},
		"Registry":      {"without the --registry of before", []step{of(answers[0], 0, "", register), of(answers[0], 0, "and keeps it")}, []string{"registry.example.com/globex"}, []string{"azurecr.io"}, 0},
		"RegistryBare":  {"of a template", []step{of(asTemplate(resources[:1]), 0, "", register), of(asTemplate(resources[:1]), 0, "")}, []string{"registry.example.com/globex"}, nil, 0},
		"RegistrySpelt": {"the same, spelt otherwise", []step{of(answers[0], 0, "", register), of(answers[0], 0, "", registered("MAIN=https://REGISTRY.example.com:443/globex/"))}, []string{"https://registry.example.com/globex\n"}, nil, 0},
		"RegistryOther": {"another one is reported", []step{of(answers[0], 0, "", register), of(answers[0], 1, "it exists with the URL https://registry.example.com/globex", registered("main=https://other.example.com"))}, []string{"registry.example.com/globex"}, nil, 0},
		"Path":          {"the API version is known later", []step{of(answers[1], 0, "", versioned("2024-04-15")), of(answers[1], 3, "import again to seal it", latest), of(answers[1], 0, "", latest)}, []string{"uploadPath: ManifestScoped", "artifactManifestState: Uploaded"}, nil, 0},
		"PathKept":      {"the API version is not said again", []step{of(answers[1], 0, "", latest), of(answers[1], 0, "")}, []string{"uploadPath: ManifestScoped"}, nil, 0},
		"PathBack":      {"nothing leads back", []step{of(answers[1], 0, "", latest), of(answers[1], 0, "left as it is", versioned("2024-04-15"))}, []string{"uploadPath: ManifestScoped"}, nil, 0},
		"Sites":         {"one site, then another one of its name", []step{of(site("rg-york"), 0, ""), of(asAnswer([]string{site("rg-york"), site("rg-leeds")}), 0, "")}, nil, nil, 2},
		"SitesBack":     {"the other way round", []step{of(asAnswer([]string{site("rg-york"), site("rg-leeds")}), 0, ""), of(site("rg-york"), 0, "")}, nil, nil, 2},
		"SitesTemplate": {"a template and its answer", []step{of(siteTemplate, 0, ""), of(site("rg-york"), 0, ""), of(siteTemplate, 0, "")}, []string{"resourceGroups/rg-york/"}, nil, 1},
		"SitesAnswer":   {"an answer and its template", []step{of(site("rg-york"), 0, ""), of(siteTemplate, 0, ""), of(site("rg-york"), 0, "")}, []string{"resourceGroups/rg-york/"}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScratch(t)
			for i, step := range tc.steps {
				if code, says := s.imports(step.input, step.change...); code != step.code || !strings.Contains(says, step.says) {
					t.Fatalf("%s: import %d has the exit code %d, want %d, and says %q, want %q", tc.reason, i+1, code, step.code, says, step.says)
				}
			}
			got := strings.Join(s.objects(), "---\n")
			for _, part := range tc.has {
				if !strings.Contains(got, part) {
					t.Errorf("%s: %q is missing in\n%s", tc.reason, part, got)
				}
			}
			for _, part := range tc.lacks {
				if strings.Contains(got, part) {
					t.Errorf("%s: there is %q in\n%s", tc.reason, part, got)
				}
			}
			if n := strings.Count(got, "SiteNetworkServiceList"); n != tc.sites {
				t.Errorf("%s: there are %d sites, want %d\n%s", tc.reason, n, tc.sites, got)
			}
		})
	}
}
