package aosm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// schemas are the schemas of the generated CRDs, by kind.
var schemas = sync.OnceValues(func() (map[string]*spec.Schema, error) {
	files, err := filepath.Glob("../../config/crd/nfo.dev_*.yaml")
	if err != nil {
		return nil, err
	}
	all := map[string]*spec.Schema{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var crd struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Schema struct {
						OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(data, &crd); err != nil {
			return nil, err
		}
		schema := &spec.Schema{}
		if err := json.Unmarshal(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, schema); err != nil {
			return nil, err
		}
		all[crd.Spec.Names.Kind] = schema
	}
	return all, nil
})

// checkValid fails the test if an object does not match its schema, or has an invalid name. It repeats
// in Go the CEL rules on single objects; the tests with an API server check the rules themselves.
func checkValid(t testing.TB, objects []client.Object) {
	t.Helper()
	all, err := schemas()
	if err != nil {
		t.Fatalf("reading the schemas: %v", err)
	}
	seen := map[string]bool{}
	for _, o := range objects {
		u, err := Applied(o)
		if err != nil {
			t.Fatal(err)
		}
		id := u.GetKind() + "/" + u.GetNamespace() + "/" + u.GetName()
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		checkNames(t, o, id)
		if schema := all[u.GetKind()]; schema != nil {
			if err := validate.AgainstSchema(schema, u.Object, strfmt.Default); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		} else if u.GetKind() != kindNamespace {
			t.Errorf("%s has no schema", id)
		}
		if m, ok := o.(*v1alpha1.ArtifactManifest); ok && m.Spec.UploadPath == v1alpha1.ManifestScoped {
			for _, a := range m.Spec.Artifacts {
				if strings.Contains(a.ArtifactName, "/") || len(m.Name)+len(a.ArtifactName) >= 255 {
					t.Errorf("%s: the artifact %q has no path", id, a.ArtifactName)
				}
			}
		}
	}
}

func checkNames(t testing.TB, o client.Object, id string) {
	t.Helper()
	problems := validation.IsDNS1123Subdomain(o.GetName())
	if o.GetObjectKind().GroupVersionKind().Kind == kindNamespace {
		problems = append(problems, validation.IsDNS1123Label(o.GetName())...)
	} else {
		problems = append(problems, validation.IsDNS1123Label(o.GetNamespace())...)
	}
	if _, ok := o.(*v1alpha1.ArtifactStore); ok && len(o.GetName()) > 46 {
		problems = append(problems, "a store's name is longer than 46 characters")
	}
	for _, v := range o.GetLabels() {
		problems = append(problems, validation.IsValidLabelValue(v)...)
	}
	if len(problems) > 0 {
		t.Errorf("%s: %s", id, strings.Join(problems, "; "))
	}
}
