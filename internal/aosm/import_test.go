package aosm

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/internal/aosm/input"
)

var update = flag.Bool("update", false, "write the golden files anew")

// written returns a result as in a golden file: the objects as they are applied, then the findings.
func written(t testing.TB, r *Result) string {
	t.Helper()
	var b strings.Builder
	for _, o := range r.Objects {
		u, err := Applied(o)
		if err != nil {
			t.Fatal(err)
		}
		y, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s", y)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "# %s %s\n", f.Level, f)
	}
	return b.String()
}

func given(t testing.TB, pairs ...string) (p input.Parameters) {
	t.Helper()
	for _, pair := range pairs {
		if err := p.Set(pair); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestGolden(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason  string
		input   string
		options Options
	}{
		"template-new": {"the API style from 2025-03-30 on, as bicep compiles it", "template-new.json",
			Options{Parameters: given(t, "VERSION=1.0.0"), Registries: map[string]string{"Contoso-Store": "https://registry.example.com/contoso"}}},
		"template-new-bare": {"without a value for a parameter, and without a registry", "template-new.json", Options{Parameters: given(t, "verson=1.0.0")}},
		"template-old":      {"the API style of before, nested resources, mixed case", "template-old.json", Options{Registries: map[string]string{"main": "https://registry.example.com"}}},
		"template-loops":    {"loops, conditions, symbolic names, nested deployments", "template-loops.json", Options{}},
		"template-bicep": {"what Bicep makes of types, functions, modules and unions", "template-bicep.json",
			Options{Parameters: given(t, "publisherName=acme", `images=[{"name": "nginx", "version": "1.25"}]`)}},
		"template-preview":   {"given values are of the types that are declared", "template-loops.json", Options{Parameters: given(t, "preview=true", `names=["upf"]`)}},
		"undecidable":        {"what no input can decide is reported", "undecidable.json", Options{}},
		"answer-page":        {"a page of the REST API's answer", "answer-page.json", Options{}},
		"answer-flat":        {"what az prints, properties lifted up", "answer-flat.json", Options{}},
		"answer-flat-new":    {"answers of a known API version", "answer-flat.json", Options{APIVersion: "2025-03-30"}},
		"names":              {"names that are none in Kubernetes, or are two", "names.json", Options{APIVersion: "2024-04-15"}},
		"answer-page-placed": {"in namespaces of one's own", "answer-page.json", Options{Namespace: "publisher", SiteNamespace: "edge"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join("testdata", tc.input))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Import(bytes.NewReader(data), tc.options)
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			checkValid(t, r.Objects)
			got, golden := written(t, r), filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
