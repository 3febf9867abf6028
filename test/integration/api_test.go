package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// kinds are the product's kinds by resource, each with its short
// name and the conditions of an object that is not being deleted.
var kinds = map[string]struct {
	short      string
	list       client.ObjectList
	conditions []string
}{
	"artifactstores":                    {"as", &v1alpha1.ArtifactStoreList{}, []string{"PurgeHealthy", "Reachable", "Ready", "Referenced"}},
	"artifactmanifests":                 {"am", &v1alpha1.ArtifactManifestList{}, []string{"Complete", "Migrated", "Ready", "Referenced", "Uploaded"}},
	"networkfunctiondefinitionversions": {"nfdv", &v1alpha1.NetworkFunctionDefinitionVersionList{}, []string{"Migrated", "Ready", "Referenced", "Resolved"}},
	"networkservicedesignversions":      {"nsdv", &v1alpha1.NetworkServiceDesignVersionList{}, []string{"Migrated", "Ready", "Referenced", "Resolved"}},
	"sitenetworkservices":               {"sns", &v1alpha1.SiteNetworkServiceList{}, []string{"Ready", "Referenced", "Resolved"}},
	"artifacts":                         {"art", &v1alpha1.ArtifactList{}, []string{"Ready"}},
	"tombstones":                        {"ts", &v1alpha1.TombstoneList{}, []string{"Ready"}},
}

// get sends a GET request to the API server, as kubectl does, and decodes the answer.
func get(t *testing.T, path, accept string, into any) {
	t.Helper()
	c, err := rest.HTTPClientFor(env.Admin)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, env.Admin.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFieldIsExplained(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(environment.Root(), "config/crd/nfo.dev_*.yaml"))
	if err != nil || len(files) != len(kinds) {
		t.Fatalf("there are %d files of CRDs, %v; want %d", len(files), err, len(kinds))
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd map[string]any
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			t.Fatal(err)
		}
		versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			schema, ok, err := unstructured.NestedMap(v.(map[string]any), "schema", "openAPIV3Schema")
			if !ok || err != nil {
				t.Fatalf("%s has no schema: %v", file, err)
			}
			for _, path := range unexplained(schema, filepath.Base(file)) {
				if !strings.HasSuffix(path, ".yaml.metadata") { // the API server describes this one
					t.Errorf("%s has no description", path)
				}
			}
		}
	}
}

// unexplained lists the fields of a schema without a description.
func unexplained(schema map[string]any, path string) (bare []string) {
	if d, _ := schema["description"].(string); len(strings.TrimSpace(d)) < 5 && !strings.HasSuffix(path, "[]") {
		bare = append(bare, path)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		bare = append(bare, unexplained(items, path+"[]")...)
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		bare = append(bare, unexplained(properties[name].(map[string]any), path+"."+name)...)
	}
	return bare
}

func TestShortNames(t *testing.T) {
	t.Parallel()
	var l metav1.APIResourceList
	get(t, "/apis/nfo.dev/v1alpha1", "application/json", &l)
	found := map[string]string{}
	for _, r := range l.APIResources {
		if !strings.Contains(r.Name, "/") {
			found[r.Name] = fmt.Sprint(r.ShortNames, r.Categories, r.Namespaced)
		}
	}
	want := map[string]string{}
	for resource, k := range kinds {
		want[resource] = fmt.Sprint([]string{k.short}, []string{"nfo"}, true)
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("short names, categories, namespaced (-want +found):\n%s", diff)
	}
}

func TestFieldSelectors(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.store("acme"), s.manifest("free", "a:1"), s.manifest("held", "a:1"), s.definition("nfdv", "held", "a"), s.design("nsdv", "held", "a:1", "nfdv"))
	sealed := s.manifest("sealed")
	sealed.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	elsewhere := s.manifest("elsewhere")
	elsewhere.Spec.ArtifactStoreRef.Name = "other"
	s.create(sealed, elsewhere)
	s.Eventually(func() int32 { s.find(s.manifest("held"), ""); return s.held("held") }).Should(gomega.Equal(int32(2)))
	for _, name := range []string{"free", "sealed", "elsewhere"} {
		s.Eventually(func() int32 { return s.held(name) }).Should(gomega.BeZero())
	}
	s.Eventually(func() []string { return s.selected("networkfunctiondefinitionversions", "status.dependentCount", "1") }).Should(gomega.Equal([]string{"nfdv"}))
	for _, c := range []struct {
		resource, field, value string
		want                   []string
	}{
		{"artifactstores", "spec.registry.url", s.registry.URL("acme"), []string{"acme"}},
		{"artifactmanifests", "spec.artifactStoreRef.name", "other", []string{"elsewhere"}},
		{"artifactmanifests", "spec.artifactManifestState", "Uploaded", []string{"sealed"}},
		{"artifactmanifests", "status.dependentCount", "0", []string{"elsewhere", "free", "sealed"}},
		{"networkfunctiondefinitionversions", "spec.versionState", "Preview", []string{"nfdv"}},
		{"networkservicedesignversions", "spec.versionState", "Active", nil},
		{"tombstones", "spec.cause", "Released", nil},
		{"tombstones", "spec.manifest.name", "free", nil},
	} {
		s.Expect(s.selected(c.resource, c.field, c.value)).To(gomega.Equal(c.want), "%s with %s=%s", c.resource, c.field, c.value)
	}

	// The bulk clean-up: DeleteAllOf with this field selector must delete every manifest that nothing holds, and no other.
	err := env.Client.DeleteAllOf(t.Context(), &v1alpha1.ArtifactManifest{}, client.InNamespace(s.ns), client.MatchingFields{"status.dependentCount": "0"})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.goes(s.manifest("free"), s.manifest("sealed"), s.manifest("elsewhere"))
	s.Expect(s.find(s.manifest("held"), v1alpha1.ConditionReady)).NotTo(gomega.BeNil())
	held := s.manifest("held")
	s.eventually(held, v1alpha1.ConditionReferenced, "True/InUse")
	s.Expect(held.DeletionTimestamp).To(gomega.BeNil())
}

// held returns the number of a manifest's holders from its status, or -1 if the status has none yet.
func (s *scene) held(name string) int32 {
	m := s.manifest(name)
	if s.find(m, ""); m.Status.DependentCount == nil {
		return -1
	}
	return *m.Status.DependentCount
}

// selected returns the names of the objects in the scene that a field selector matches.
func (s *scene) selected(resource, field, value string) (names []string) {
	s.t.Helper()
	l := kinds[resource].list.DeepCopyObject().(client.ObjectList)
	if err := env.Client.List(s.t.Context(), l, client.InNamespace(s.ns), client.MatchingFields{field: value}); err != nil {
		s.t.Fatal(err)
	}
	items, err := apimeta.ExtractList(l)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range items {
		names = append(names, o.(client.Object).GetName())
	}
	slices.Sort(names)
	return names
}

func TestColumnsAnswerTheFirstQuestion(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, gone := s.manifest("m", "a:1"), s.manifest("gone", "a:1")
	s.create(s.store("acme"), m, gone, s.definition("nfdv", "m", "a"), s.design("nsdv", "m", "a:1", "nfdv"))
	s.image("m", "a:1", "one")
	s.image("gone", "a:1", "two")
	s.eventually(gone, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(gone)
	s.goes(gone)
	until := s.tombstones()[0].Status.RestorableUntil.UTC().Format(time.RFC3339)
	for resource, want := range map[string]map[string]any{
		"artifactstores":                    {"Name": "acme", "Ready": "True", "Reason": "Ready", "URL": s.registry.URL("acme"), "Manifests": 1.0, "Tombstones": 1.0},
		"artifactmanifests":                 {"Name": "m", "Ready": "True", "Uploaded": "True", "Held By": 2.0, "State": "Uploading", "Store": "acme", "Reason": "Ready", "Path": "ManifestScoped"},
		"networkfunctiondefinitionversions": {"Name": "nfdv", "Ready": "True", "Reason": "Ready", "Held By": 1.0, "State": "Preview"},
		"networkservicedesignversions":      {"Name": "nsdv", "Ready": "True", "Reason": "Ready", "Held By": 0.0, "State": "Preview"},
		"tombstones":                        {"Manifest": "gone", "Cause": "Released", "State": "Untagged", "Restorable Until": until, "Registry": s.registry.URL("acme")},
	} {
		s.Eventually(func() string {
			row := s.row(resource)
			maps.DeleteFunc(row, func(column string, _ any) bool { _, asked := want[column]; return !asked })
			return cmp.Diff(want, row)
		}).Should(gomega.BeEmpty(), resource)
	}
}

// row returns, by column, the only row of the table that kubectl would print for a resource.
func (s *scene) row(resource string) map[string]any {
	s.t.Helper()
	var table metav1.Table
	get(s.t, "/apis/nfo.dev/v1alpha1/namespaces/"+s.ns+"/"+resource, "application/json;as=Table;v=v1;g=meta.k8s.io", &table)
	if len(table.Rows) != 1 {
		s.t.Fatalf("there are %d %s, want 1", len(table.Rows), resource)
	}
	row := map[string]any{}
	for i, column := range table.ColumnDefinitions {
		row[column.Name] = table.Rows[0].Cells[i]
	}
	return row
}

func TestSamples(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	files, err := filepath.Glob(filepath.Join(environment.Root(), "config/samples/[0-9]*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("there are the samples %v, %v", files, err)
	}
	for _, file := range files[1:] { // the first is the namespace
		err := env.Apply(t.Context(), file, s.ns, func(u *unstructured.Unstructured) {
			url, found, err := unstructured.NestedString(u.Object, "spec", "registry", "url")
			if err == nil && found {
				url = strings.Replace(url, "registry.example.com", s.registry.Host, 1)
				err = unstructured.SetNestedField(u.Object, url, "spec", "registry", "url")
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	m := s.manifest("upf-1.0.0")
	s.eventually(m, v1alpha1.ConditionUploaded, "False/Missing")
	for _, a := range m.Spec.Artifacts {
		s.image(m.Name, a.ArtifactName+":"+a.ArtifactVersion, a.ArtifactName)
	}
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
	s.eventually(s.store("acme"), v1alpha1.ConditionReady, "True/Ready")
	for _, o := range []client.Object{s.definition("upf-1.0.0", "", ""), s.design("core-1.0.0", "", "", "")} {
		s.eventually(o, v1alpha1.ConditionResolved, "True/Resolved")
		s.eventually(o, v1alpha1.ConditionReady, "True/Ready")
	}
	s.Eventually(func() int32 { return s.held(m.Name) }).Should(gomega.Equal(int32(2)))
}

func TestManagerMayDoNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.create(s.basicAuth(password), s.store("acme"), s.manifest("m"), s.definition("nfdv", "m", "a"))
	manager, err := client.New(env.As(environment.ManagerUser), client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, in := t.Context(), client.InNamespace(s.ns)
	for name, do := range map[string]func() error{
		"list Secrets":         func() error { return manager.List(ctx, &corev1.SecretList{}, in) },
		"change a Secret":      func() error { return manager.Update(ctx, s.basicAuth(mistaken)) },
		"delete a Secret":      func() error { return manager.Delete(ctx, s.basicAuth("")) },
		"create a Secret":      func() error { return manager.Create(ctx, &corev1.Secret{ObjectMeta: s.meta("mine")}) },
		"create a Deployment":  func() error { return manager.Create(ctx, &appsv1.Deployment{ObjectMeta: s.meta("mine")}) },
		"create a Pod":         func() error { return manager.Create(ctx, &corev1.Pod{ObjectMeta: s.meta("mine")}) },
		"delete a namespace":   func() error { return manager.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}) },
		"create a manifest":    func() error { return manager.Create(ctx, s.manifest("mine")) },
		"delete a manifest":    func() error { return manager.Delete(ctx, s.manifest("m")) },
		"delete all manifests": func() error { return manager.DeleteAllOf(ctx, &v1alpha1.ArtifactManifest{}, in) },
		"delete a store":       func() error { return manager.Delete(ctx, s.store("acme")) },
		"delete a definition":  func() error { return manager.Delete(ctx, s.definition("nfdv", "m", "a")) },
	} {
		if err := do(); !apierrors.IsForbidden(err) {
			t.Errorf("to %s should be forbidden for the manager; got %v", name, err)
		}
	}
	if err := manager.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: "push"}, &corev1.Secret{}); err != nil {
		t.Errorf("the manager reads the Secret that a store names: %v", err)
	}
}

func TestConditionsAreOfTheGeneration(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(func(o *environment.ManagerOptions) { o.Namespace = s.ns })
	store, m, gone := s.store("acme"), s.manifest("m", "a:1"), s.manifest("gone", "a:1")
	nfdv, nsdv := s.definition("nfdv", "m", "a"), s.design("nsdv", "m", "a:1", "nfdv")
	mirrored := &v1alpha1.Artifact{ObjectMeta: s.meta("upf"), Spec: v1alpha1.ArtifactSpec{SourceArtifact: s.registry.Host + "/acme/m/a:1"}}
	s.create(store, m, gone, nfdv, nsdv, s.site("site", "", "nsdv"), mirrored)
	s.image("m", "a:1", "one")
	s.image("gone", "a:1", "two")
	s.eventually(gone, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(gone)
	s.goes(gone)
	s.settles()

	// Change the generation of each object.
	change(s, store, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.MaxDeletions = 1 })
	change(s, m, func(o *v1alpha1.ArtifactManifest) { o.Spec.Artifacts = s.manifest("m", "a:1", "b:1").Spec.Artifacts })
	change(s, nfdv, func(o *v1alpha1.NetworkFunctionDefinitionVersion) { o.Spec.VersionState = v1alpha1.VersionActive })
	change(s, nsdv, func(o *v1alpha1.NetworkServiceDesignVersion) { o.Spec.VersionState = v1alpha1.VersionActive })
	s.settles()
}

// settles waits until every object has all conditions of its kind, each
// with a reason and for the object's generation, as kstatus expects.
func (s *scene) settles() {
	s.t.Helper()
	s.Eventually(func() (wrong []string) {
		for resource, k := range kinds {
			l := k.list.DeepCopyObject().(client.ObjectList)
			if err := env.Client.List(s.t.Context(), l, client.InNamespace(s.ns)); err != nil {
				s.t.Fatal(err)
			}
			items, err := apimeta.ExtractList(l)
			if err != nil || len(items) == 0 {
				wrong = append(wrong, fmt.Sprintf("no %s: %v", resource, err))
			}
			for _, item := range items {
				o := item.(client.Object)
				fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
				if err != nil {
					s.t.Fatal(err)
				}
				if seen, _, _ := unstructured.NestedInt64(fields, "status", "observedGeneration"); seen != o.GetGeneration() {
					wrong = append(wrong, fmt.Sprintf("%s %s of generation %d was observed in %d", resource, o.GetName(), o.GetGeneration(), seen))
				}
				var have []string
				for _, c := range v1alpha1.ConditionsOf(o) {
					have = append(have, c.Type)
					if c.ObservedGeneration != o.GetGeneration() || c.Reason == "" || c.Message == "" {
						wrong = append(wrong, fmt.Sprintf("%s %s of generation %d: %+v", resource, o.GetName(), o.GetGeneration(), c))
					}
				}
				if slices.Sort(have); !slices.Equal(have, k.conditions) {
					wrong = append(wrong, fmt.Sprintf("%s %s has %v, want %v", resource, o.GetName(), have, k.conditions))
				}
			}
		}
		return wrong
	}).Should(gomega.BeEmpty())
}
