package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/aosm"
	"github.com/nfo-operator/nfo/test/environment"
)

// TestImportedObjectsAreValid asks the API server itself, rules in CEL and defaults included.
func TestImportedObjectsAreValid(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	strict := client.WithFieldValidation(env.Client, "Strict")
	files, err := filepath.Glob(filepath.Join(environment.Root(), "internal/aosm/testdata/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no test data: %v", err)
	}
	var parameters aosm.Parameters
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
