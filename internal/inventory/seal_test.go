package inventory_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Sealing takes a new generation of a sealed manifest for the sealing itself, so no field of its spec may be mutable.
func TestTheSchemaFreezesAllOfASealedManifest(t *testing.T) {
	var fields []string
	for field := range reflect.TypeFor[v1alpha1.ArtifactManifestSpec]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	slices.Sort(fields)
	frozen := []string{"artifactManifestState", "artifactStoreRef", "artifacts", "uploadPath"}
	if diff := cmp.Diff(frozen, fields); diff != "" {
		t.Errorf("let the schema refuse changes of a new field once the manifest is sealed, add a row to TestChangeIsRefused of test/integration that shows it, and then name the field here (-frozen +fields):\n%s", diff)
	}
}
