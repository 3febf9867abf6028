package docs

import (
	"path/filepath"
	"strings"
	"testing"
)

// Every kind is listed in the chart's annotations, which Artifact Hub shows, and has a page in the reference.
func TestEveryKindIsListed(t *testing.T) {
	t.Parallel()
	chart, index := read(t, "../charts/nfo/Chart.yaml"), read(t, "reference/README.md")
	crds, err := filepath.Glob("../config/crd/nfo.dev_*.yaml")
	if err != nil || len(crds) == 0 {
		t.Fatalf("%d definitions: %v", len(crds), err)
	}
	for _, crd := range crds {
		plural := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(crd), "nfo.dev_"), ".yaml")
		if !strings.Contains(chart, "name: "+plural+".nfo.dev,") {
			t.Errorf("Chart.yaml does not list %s in artifacthub.io/crds", plural)
		}
		if !strings.Contains(index, "(kinds/"+strings.TrimSuffix(plural, "s")+".md)") {
			t.Errorf("reference/README.md has no link to the page of %s", plural)
		}
	}
}
