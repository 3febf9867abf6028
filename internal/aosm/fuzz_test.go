package aosm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzImport looks that no input makes an import panic or run away, that what it makes is valid, and
// that it makes the same again.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("there is no test data: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "version=1.0.0", "")
		f.Add(data, "names=[\"a_b\"]", "publisher")
	}
	f.Add([]byte(hostile(`"v": {"x": "[variables('v')]"}`, `[{"artifactName": "[string(variables('v'))]"}]`)), "", "")
	f.Fuzz(func(t *testing.T, data []byte, pair, namespace string) {
		var o Options
		if o.Parameters.Set(pair) != nil {
			o.Parameters = Parameters{}
		}
		if namespace != "" {
			o.Namespace = "publisher"
		}
		first, err := Import(bytes.NewReader(data), o)
		if err != nil {
			if first != nil || !errors.Is(err, ErrInput) {
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
		again, err := Import(bytes.NewReader(data), o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(written(t, first), written(t, again)); diff != "" {
			t.Errorf("it made something else the second time (-first +again):\n%s", diff)
		}
	})
}
