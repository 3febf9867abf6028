package aosm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// TestAManifestIsWholeOrLeftOut would find an incomplete list: applied over an existing manifest, it would release the rest.
func TestAManifestIsWholeOrLeftOut(t *testing.T) {
	t.Parallel()
	const one = `{"artifactName": "a", "artifactVersion": "1"}`
	answer := func(members string) string {
		return `{"id": "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/s/artifactManifests/m", "properties": {` + members + `}}`
	}
	template := func(artifacts string) string { return hostile(`"v": 1`, artifacts) }
	for name, tc := range map[string]struct {
		reason, input string
		lists         int // -1 for no manifest
		says          string
	}{
		"Whole":       {"all is decided", template(`[` + one + `]`), 1, ""},
		"Empty":       {"it says that it lists none", answer(`"artifacts": []`), 0, ""},
		"OtherType":   {"what is in no OCI registry has nothing to release", template(`[` + one + `, {"artifactName": "v", "artifactVersion": "1", "artifactType": "VhdImageFile"}]`), 1, "is not in an OCI registry"},
		"Absent":      {"an answer without a list", answer(`"artifactManifestState": "Uploading"`), -1, "it does not say which artifacts it lists"},
		"Null":        {"null is not a list", answer(`"artifacts": null`), -1, "it does not say which artifacts it lists"},
		"NullByIf":    {"null by a function", template(`"[if(equals(1, 2), variables('v'), null())]"`), -1, "it does not say which artifacts it lists"},
		"Parameter":   {"a list without a value", template(`"[parameters('arts')]"`), -1, "artifacts cannot be decided"},
		"Function":    {"a list by a function that is not evaluated", template(`"[cidrSubnet(variables('v'), 1)]"`), -1, "cidrsubnet() is not among"},
		"NoArray":     {"a list that is not one", template(`"[variables('v')]"`), -1, "artifacts is not an array"},
		"Entry":       {"one of the entries", template(`[` + one + `, "[parameters('art')]"]`), -1, "an artifact cannot be decided"},
		"NoObject":    {"an entry that is nothing", template(`[` + one + `, null]`), -1, "an artifact is not an object"},
		"Name":        {"the name of one", template(`[` + one + `, {"artifactName": "[parameters('n')]", "artifactVersion": "1"}]`), -1, "its artifactName cannot be decided"},
		"Version":     {"the version of one", template(`[` + one + `, {"artifactName": "b"}]`), -1, "no artifactVersion"},
		"Deployment":  {"a version that only the deployment knows", template(`[` + one + `, {"artifactName": "b", "artifactVersion": "[resourceGroup().name]"}]`), -1, "known at deployment only"},
		"Type":        {"what one is", template(`[` + one + `, {"artifactName": "b", "artifactVersion": "1", "artifactType": "[parameters('t')]"}]`), -1, "artifactType cannot be decided"},
		"Properties":  {"all of it", strings.Replace(template(`[]`), `{"artifacts": []}`, `"[parameters('p')]"`, 1), -1, "its properties cannot be decided"},
		"LoopOfNames": {"a loop that may be the list", strings.Replace(template(`[]`), `"artifacts": []`, `"copy": [{"name": "[parameters('n')]", "count": 1, "input": {}}]`, 1), -1, "it does not say which artifacts it lists"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Import(strings.NewReader(tc.input), Options{APIVersion: manifestScopedVersion})
			if err != nil {
				t.Fatal(err)
			}
			lists := -1
			for _, o := range r.Objects {
				if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
					lists = len(m.Spec.Artifacts)
				}
			}
			if says := fmt.Sprint(r.Findings); lists != tc.lists || !strings.Contains(says, tc.says) || (lists < 0) != strings.Contains(says, "the manifest is left out") {
				t.Errorf("%s: it lists %d, want %d; the findings are %s, want %q", tc.reason, lists, tc.lists, says, tc.says)
			}
		})
	}
}
