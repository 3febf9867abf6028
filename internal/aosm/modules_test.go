package aosm

import (
	"strings"
	"testing"
)

// moduleOf returns a nested deployment, given the members of its template.
func moduleOf(name, parameters, members string) string {
	return `{"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "` + name + `", "properties": {"mode": "Incremental",
		"expressionEvaluationOptions": {"scope": "inner"}, "parameters": {` + parameters + `}, "template": {"contentVersion": "1.0.0.0", ` + members + `}}}`
}

// TestModules checks that the outputs of a nested deployment are known to the others.
func TestModules(t *testing.T) {
	t.Parallel()
	names := moduleOf("names", `"n": {"value": "1.0.0"}`, `"parameters": {"n": {"type": "string"}}, "resources": [], "outputs": {
		"version": {"type": "string", "value": "[parameters('n')]"}, "all": {"type": "array", "copy": {"count": 2, "input": "[format('{0}-{1}', parameters('n'), copyIndex())]"}}, "lost": {"type": "string", "value": "[utcNow()]"}}`)
	use := func(version string) string {
		return resourceOf(manifestType, "p/s/m", `{"artifacts": [{"artifactName": "a", "artifactVersion": "`+version+`"}]}`)
	}
	const id = `reference(resourceId('Microsoft.Resources/deployments', 'names'), '2022-09-01')`
	symbolic := func(version string) string {
		return `{"$schema": "deploymentTemplate.json#", "languageVersion": "2.0", "resources": {"names": ` + names + `, "m": ` + use(version) + `}}`
	}
	made := func(version string) []string { return []string{"artifactName: a", "artifactVersion: " + version} }
	checkAll(t, map[string]trial{
		"Name":         {reason: "by its name", input: inTemplate("", names, use("[reference('names').outputs.version.value]")), has: made("1.0.0")},
		"NameOfOther":  {reason: "where there are symbolic names a name is not one of them", has: made("1.0.0"), input: `{"$schema": "deploymentTemplate.json#", "languageVersion": "2.0", "resources": {"names": ` + names + `, "other": ` + strings.Replace(strings.Replace(names, `"1.0.0"`, `"2.0.0"`, 1), `"name": "names"`, `"name": "NAMES"`, 1) + `, "m": ` + use("[reference('names').outputs.version.value]") + `}}`},
		"Vault":        {reason: "a parameter that a Key Vault has", lost: true, input: inTemplate("", strings.Replace(names, `"value": "1.0.0"`, `"reference": {"keyVault": {"id": "x"}, "secretName": "s"}`, 1), use("["+id+".outputs.version.value]")), has: []string{"known at deployment only"}, lacks: []string{"artifactName: a"}},
		"Output":       {reason: "by the id of the deployment", input: inTemplate("", names, use("["+id+".outputs.version.value]")), has: made("1.0.0")},
		"Order":        {reason: "that comes after", input: inTemplate("", use("["+id+".outputs.version.value]"), names), has: made("1.0.0")},
		"Whole":        {reason: "with 'Full'", input: inTemplate("", names, use("["+strings.Replace(id, "'2022-09-01'", "'2022-09-01', 'Full'", 1)+".properties.outputs.version.value]")), has: made("1.0.0")},
		"Loop":         {reason: "an output that a loop makes", input: inTemplate("", names, use("["+id+".outputs.all.value[1]]")), has: made("1.0.0-1")},
		"Symbol":       {reason: "by its symbolic name", input: symbolic("[reference('names').outputs.version.value]"), has: made("1.0.0")},
		"Chained":      {reason: "as a parameter of another one", has: made("1.0.0"), input: inTemplate("", names, moduleOf("user", `"v": {"value": "[`+id+`.outputs.version.value]"}`, `"parameters": {"v": {"type": "string"}}, "resources": [`+use("[parameters('v')]")+`]`))},
		"Outside":      {reason: "by the id in another group", has: made("1.0.0"), input: inTemplate("", strings.Replace(names, `"apiVersion"`, `"resourceGroup": "other", "apiVersion"`, 1), use("[reference(extensionResourceId(format('/subscriptions/{0}/resourceGroups/{1}', subscription().subscriptionId, 'other'), 'Microsoft.Resources/deployments', 'names'), '2022-09-01').outputs.version.value]"))},
		"Unknown":      {reason: "what only the deployment knows stays so", input: inTemplate("", names, use("["+id+".outputs.lost.value]")), lost: true, has: []string{"known at deployment only"}},
		"Unnamed":      {reason: "a name that only the deployment knows, as Bicep makes it", has: made("1.0.0"), input: inTemplate("", strings.Replace(names, `"name": "names"`, `"name": "[format('names-{0}', uniqueString('names', deployment().name))]"`, 1), use("["+strings.Replace(id, "'names'", "format('names-{0}', uniqueString('names', deployment().name))", 1)+".outputs.version.value]"))},
		"Looped":       {reason: "deployments of a loop", has: made("1.0.0"), input: `{"$schema": "deploymentTemplate.json#", "languageVersion": "2.0", "resources": {"names": ` + strings.Replace(strings.Replace(names, `"name": "names"`, `"name": "[format('n{0}', copyIndex())]", "copy": {"name": "names", "count": "[length(range(0, 2))]"}`, 1), `"value": "1.0.0"`, `"value": "[format('{0}.0.0', copyIndex())]"`, 1) + `, "m": ` + use("[reference(format('names[{0}]', 1)).outputs.version.value]") + `}}`},
		"NoOutput":     {reason: "nothing has the name", input: inTemplate("", names, use("["+id+".outputs.none.value]")), lost: true, has: []string{`no member "none"`}},
		"NoDeployment": {reason: "nor a deployment", input: inTemplate("", names, use("["+strings.Replace(id, "names", "none", 1)+".outputs.version.value]")), lost: true, has: []string{"known at deployment only; import what `az ... show` prints"}},
		"Resource":     {reason: "what a resource says Azure knows", input: inTemplate("", names, use("[reference(resourceId('Microsoft.HybridNetwork/publishers', 'p')).scope]")), lost: true, has: []string{"known at deployment only"}},
		"Circle":       {reason: "two that need each other", lost: true, has: []string{"refers to itself"}, input: inTemplate("", strings.ReplaceAll(names, `"value": "1.0.0"`, `"value": "[`+id+`.outputs.version.value]"`), use("["+id+".outputs.version.value]"))},
		"NamedByIt":    {reason: "a deployment whose name is its own output", lost: true, has: []string{"cannot be decided"}, input: inTemplate("", strings.Replace(names, `"name": "names"`, `"name": "[`+id+`.outputs.version.value]"`, 1), use("["+id+".outputs.version.value]"))},
		"Info":         {reason: "resourceInfo() of a symbolic name", has: []string{"kind: ArtifactManifest", "publishers/p/artifactStores/s/artifactManifests/m"}, input: `{"$schema": "deploymentTemplate.json#", "resources": {"store": ` + resourceOf("", "p", "{}") + `, "m": ` + resourceOf(manifestType, "[format('{0}/s/m', resourceInfo('store').name)]", artifactsOf("a:1")) + `}}`},
	})
}

// TestChildren imports resources within resources, in a list or by symbolic name.
func TestChildren(t *testing.T) {
	t.Parallel()
	child := `{"type": "artifactManifests", "apiVersion": "2025-03-30", "name": "m", "properties": {"artifacts": []}}`
	parent := func(resources string) string {
		return inTemplate("", `{"type": "Microsoft.HybridNetwork/publishers/artifactStores", "apiVersion": "2025-03-30", "name": "p/s", "properties": {}, "resources": `+resources+`}`)
	}
	o := Options{Registries: map[string]string{"s": "https://registry.example.com"}}
	checkAll(t, map[string]trial{
		"List":   {reason: "a list", options: o, input: parent("[" + child + "]"), has: []string{"kind: ArtifactManifest"}},
		"Symbol": {reason: "an object", options: o, input: parent(`{"child": ` + child + `}`), has: []string{"kind: ArtifactManifest"}},
		"Deep":   {reason: "an object in an object", options: o, has: []string{"kind: ArtifactManifest"}, input: inTemplate("", `{"type": "Microsoft.HybridNetwork/publishers", "apiVersion": "2025-03-30", "name": "p", "resources": {"s": {"type": "artifactStores", "apiVersion": "2025-03-30", "name": "s", "resources": {"m": `+child+`}}}}`)},
		"Text":   {reason: "neither", options: o, lost: true, input: parent(`"x"`), has: []string{"neither a list nor an object"}},
	})
}
