package aosm

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/input"
)

// FuzzImport would find an input that makes an import panic or exceed
// its bounds, make invalid objects, or make others the second time.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, []byte("[]"), "version=1.0.0", "")
		f.Add(data, data, "names=[\"a_b\"]", "publisher")
	}
	f.Add([]byte(hostile(`"v": {"x": "[variables('v')]"}`, `[{"artifactName": "[string(variables('v'))]"}]`)), []byte(`{"parameters": {"v": {"value": 1}}}`), "", "")
	w := &templateWriter{Rand: rand.New(rand.NewPCG(1, 1))}
	for range 30 {
		first, _ := w.write()
		second, _ := w.write()
		f.Add([]byte(first), []byte(second), "on=true", "")
	}
	for _, expression := range []string{"[union(variables('v'), createObject('a', range(0, 9)))]", "[map(variables('v'), lambda('x', 'i', toObject(range(0, 3), lambda('k', string(lambdaVariables('k'))))))]",
		"[contoso.f(split('a/b', '/'))]", "[reference('m').outputs.x.value]", "[sort(createArray(3, -1), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))]", "[padLeft(base64('x'), 100, '0')]"} {
		f.Add([]byte(hostile(`"v": ["x", {"y": 1}]`, quote(expression))), []byte("/* c */ [] // d"), "", "")
	}
	f.Fuzz(func(t *testing.T, one, two []byte, pair, namespace string) {
		o := Options{APIVersion: manifestScopedVersion}
		if o.Parameters.Set(pair) != nil {
			o.Parameters = input.Parameters{}
		}
		if namespace != "" {
			o.Namespace = "publisher"
		}
		sources := []input.Source{{Name: "one.json", Data: one}, {Name: "one.parameters.json", Data: two}}
		first, err := ImportAll(sources, o)
		if err != nil {
			if first != nil || !errors.Is(err, document.ErrInput) {
				t.Fatalf("the error is %v, beside %v", err, first)
			}
			return
		}
		checkValid(t, first.Objects)
		for _, finding := range first.Findings {
			if finding.Path == "" || finding.Reason == "" || finding.Level == "" {
				t.Errorf("a finding says nothing: %+v", finding)
			}
		}
		again, err := ImportAll(sources, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(written(t, first), written(t, again)); diff != "" {
			t.Errorf("it made something else the second time (-first +again):\n%s", diff)
		}
	})
}
