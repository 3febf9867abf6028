package aosm

import "testing"

// TestLoopsInLoops checks that copyIndex() without a name is the index of the resource,
// also inside a property loop. Bicep writes a list in a resource of a list this way.
func TestLoopsInLoops(t *testing.T) {
	t.Parallel()
	const nfs = `"parameters": {"nfs": {"type": "array", "defaultValue": [
		{"name": "upf", "version": "1.0.0", "images": ["upf", "upf-dp"]}, {"name": "smf", "version": "2.0.0", "images": ["smf"]}]}}, `
	manifest := func(artifact, version string) string {
		return inTemplate(nfs, `{"type": "Microsoft.HybridNetwork/publishers`+manifestType+`", "apiVersion": "2025-03-30", "name": "[format('p/s/{0}', parameters('nfs')[copyIndex()].name)]",
			"copy": {"name": "each", "count": "[length(parameters('nfs'))]"}, "properties": {"copy": [{"name": "artifacts", "count": "[length(parameters('nfs')[copyIndex()].images)]",
			"input": {"artifactName": "`+artifact+`", "artifactVersion": "`+version+`", "artifactType": "OCIArtifact"}}]}}`)
	}
	const whole = "artifactName: upf\n    artifactType: OCIArtifact\n    artifactVersion: 1.0.0\n"
	checkAll(t, map[string]trial{
		"Unnamed": {
			reason: "the resource's turn, and the property's by its name", input: manifest("[parameters('nfs')[copyIndex()].images[copyIndex('artifacts')]]", "[parameters('nfs')[copyIndex()].version]"),
			has: []string{whole, "artifactName: upf-dp\n    artifactType: OCIArtifact\n    artifactVersion: 1.0.0\n", "artifactName: smf\n    artifactType: OCIArtifact\n    artifactVersion: 2.0.0\n"},
		},
		"Named": {
			reason: "the same by its name", input: manifest("[parameters('nfs')[copyIndex('each')].images[copyIndex('artifacts')]]", "[parameters('nfs')[copyIndex('each')].version]"),
			has: []string{whole, "artifactName: upf-dp\n    artifactType: OCIArtifact\n    artifactVersion: 1.0.0\n", "artifactName: smf\n    artifactType: OCIArtifact\n    artifactVersion: 2.0.0\n"},
		},
		"Offset": {
			reason: "counted from one", input: manifest("[format('{0}-{1}', copyIndex(1), copyIndex('artifacts', 1))]", "1"),
			has: []string{"artifactName: 1-1\n", "artifactName: 1-2\n", "artifactName: 2-1\n"}, lacks: []string{"artifactName: 2-2"},
		},
	})
}
