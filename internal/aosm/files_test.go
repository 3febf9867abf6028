package aosm

import (
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/input"
)

func file(name, data string) input.Source { return input.Source{Name: name, Data: []byte(data)} }

// TestForms imports the forms in which ARM, az and people write JSON.
func TestForms(t *testing.T) {
	t.Parallel()
	o := Options{APIVersion: manifestScopedVersion}
	plain := answerOf(scoped("p/artifactStores/s/artifactManifests/m"), artifactsOf("a:1"))
	has := []string{"kind: ArtifactManifest", "artifactName: a"}
	template := inTemplate(`"parameters": {"v": {"type": "string"}}, `, resourceOf(manifestType, "p/s/m", `{"artifacts": [{"artifactName": "a", "artifactVersion": "[parameters('v')]"}]}`))
	checkAll(t, map[string]trial{
		"LineComment":    {reason: "// to the end of the line", options: o, has: has, input: "// a comment: \"{\n" + strings.Replace(plain, "{", "{ // another\n", 1) + " // the end"},
		"BlockComment":   {reason: "/* over lines */", options: o, has: has, input: "/* a\n\"comment\" */" + strings.Replace(plain, `"id"`, `/**/ "id"`, 1)},
		"NoComment":      {reason: "a URL in a text is not a comment", options: o, has: has, input: strings.Replace(plain, `{"id"`, `{"description": "https://example.com/* \"// */", "id"`, 1)},
		"OpenComment":    {reason: "a comment without an end", options: o, input: plain + " /* x", fails: "invalid character '/'"},
		"Lines":          {reason: "a text over several lines, as in templates", has: []string{"artifactVersion: 1.0.0"}, input: inTemplate("", resourceOf(manifestType, "p/s/m", "{\"artifacts\": [{\"artifactName\": \"a\", \"artifactVersion\": \"[concat(\n\t'1.0',\r\n\t'.0')]\"}]}"))},
		"ByteOrderMark":  {reason: "as some editors write", options: o, has: has, input: "\xef\xbb\xbf" + plain},
		"MarkInside":     {reason: "and cat puts between", options: o, has: []string{"name: m\n", "name: k\n"}, input: "\xef\xbb\xbf" + plain + "\n\xef\xbb\xbf" + strings.Replace(plain, "artifactManifests/m", "artifactManifests/k", 1)},
		"Colours":        {reason: "az's --output jsonc", input: "\x1b[39;49;00m{\x1b[94m\"id\"\x1b[39m: 1}", fails: "--output json, or run `az config set core.no_color=true`"},
		"ColourInside":   {reason: "wherever they are", input: "{\"id\": \x1b[33m\"x\"\x1b[0m}", fails: "colour codes"},
		"Table":          {reason: "az's --output table", input: "Name    Location\n----", fails: "--output json"},
		"Bicep":          {reason: "not compiled", input: "param location string = resourceGroup().location", fails: "az bicep build"},
		"Warning":        {reason: "az's warnings in between", input: "WARNING: This command is in preview\n" + plain, fails: "without warnings"},
		"UTF16":          {reason: "PowerShell's", input: "\xfe\xff\x00{", fails: "UTF-16"},
		"Position":       {reason: "where it is broken is counted in the file as it is", input: "{\"a\": \"x\ny\n\", // z\n \"b\": !}", fails: "before byte 25"},
		"Export":         {reason: "what az group export has around a template", has: has, options: Options{Parameters: given(t, "v=1")}, input: `{"error": null, "template": ` + template + `}`},
		"Request":        {reason: "the request of a deployment", has: has, input: `{"location": "x", "properties": {"mode": "Incremental", "template": ` + template + `, "parameters": {"V": {"value": "1"}}}}`},
		"Spec":           {reason: "a template spec", has: has, options: Options{Parameters: given(t, "v=1")}, input: `{"id": "/subscriptions/0/resourceGroups/g/providers/Microsoft.Resources/templateSpecs/t/versions/1", "mainTemplate": ` + template + `}`},
		"RequestAndFlag": {reason: "a value of the command line counts more", has: []string{`artifactVersion: "2"`}, options: Options{Parameters: given(t, "v=2")}, input: `{"properties": {"template": ` + template + `, "parameters": {"V": {"value": "1"}}}}`},
		"Deployment":     {reason: "what a deployment answers has nothing of it", lost: true, has: []string{"import its template, or what `az ... show` prints"}, input: `{"id": "/subscriptions/0/resourceGroups/g/providers/Microsoft.Resources/deployments/d", "properties": {"outputs": {}}}`},
		"Graph":          {reason: "az graph query", options: o, has: has, input: `{"count": 1, "data": [` + plain + `], "skip_token": null, "total_records": 1}`},
		"GraphPage":      {reason: "one page of it", options: o, has: append(has, "there are more"), lost: true, input: `{"data": [` + plain + `], "skip_token": "x"}`},
		"List":           {reason: "az resource list adds times", options: o, has: has, input: strings.Replace(plain, `{"id"`, `{"createdTime": "x", "changedTime": "y", "kind": "k", "id"`, 1)},
		"Group":          {reason: "a group alone", has: []string{"import those"}, lacks: []string{"kind:"}, input: answerOf(scoped("p/networkFunctionDefinitionGroups/g"), `{"description": "x"}`)},
		"DesignGroup":    {reason: "of designs", has: []string{"import those"}, lacks: []string{"kind:"}, input: answerOf(scoped("p/networkServiceDesignGroups/g"), `{}`)},
		"GroupOf":        {reason: "a group with a version", lacks: []string{"import those"}, input: "[" + answerOf(scoped("p/networkFunctionDefinitionGroups/g"), `{}`) + "," + answerOf(scoped("p/networkFunctionDefinitionGroups/G/networkFunctionDefinitionVersions/1.0.0"), chartOf(hybrid+"p/artifactStores/s")) + "]"},
		"Name":           {reason: "a name that is not the id's", options: o, has: append(has, "the name differs from that in the id"), input: strings.Replace(plain, `{"id"`, `{"name": "other", "id"`, 1)},
		"OwnVersion":     {reason: "an answer that says its API version", has: append(has, "uploadPath: ManifestScoped"), input: strings.Replace(plain, `{"id"`, `{"apiVersion": "2025-03-30", "id"`, 1)},
		"OlderVersion":   {reason: "the older one", has: append(has, "uploadPath: StoreScoped"), input: strings.Replace(plain, `{"id"`, `{"apiVersion": "2023-09-01", "id"`, 1)},
	})
}

// TestFiles checks that several files are one input, in any order.
func TestFiles(t *testing.T) {
	t.Parallel()
	of := func(parameter string) string {
		return inTemplate(`"parameters": {"v": {"type": "string"}}, `, resourceOf(manifestType, "p/s/"+parameter, `{"artifacts": [{"artifactName": "a", "artifactVersion": "[parameters('v')]"}]}`))
	}
	values := func(v string) string {
		return `{"$schema": "deploymentParameters.json#", "parameters": {"v": {"value": "` + v + `"}, "publisherName": {"value": "x"}}}`
	}
	first, second := []string{"name: m\n", `artifactVersion: "1"`}, []string{"name: k\n", `artifactVersion: "2"`}
	all := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	cases := map[string]trial{
		"Beside":     {reason: "each template has its own values", has: all(first, second), files: []input.Source{file("x/m.json", of("m")), file("x/m.parameters.json", values("1")), file("x/n.json", of("k")), file("x/n.parameters.json", values("2"))}},
		"Elsewhere":  {reason: "beside is in the same directory", has: all(first), files: []input.Source{file("x/m.json", of("m")), file("y/m.parameters.json", values("1"))}},
		"All":        {reason: "values for all, as az aosm writes them", has: []string{"name: m\n", "name: k\n"}, lacks: []string{"no value"}, files: []input.Source{file("m.json", of("m")), file("n.json", of("k")), file("all_deploy.parameters.json", `{"location": "uksouth", "publisherName": "acme", "v": "3"}`)}},
		"OwnFirst":   {reason: "its own values before those for all", has: all(first, []string{`artifactVersion: "3"`}), files: []input.Source{file("m.json", of("m")), file("m.parameters.json", values("1")), file("n.json", of("k")), file("all_deploy.parameters.json", `{"v": "3"}`)}},
		"FlagFirst":  {reason: "those of the command line before all", options: Options{Parameters: given(t, "v=9")}, has: []string{`artifactVersion: "9"`}, lacks: []string{`artifactVersion: "1"`}, files: []input.Source{file("m.json", of("m")), file("m.parameters.json", values("1"))}},
		"Contradict": {reason: "two files for one template", fails: "different values", files: []input.Source{file("m.json", of("m")), file("a.parameters.json", `{"v": 1}`), file("b.parameters.json", `{"V": 2}`)}},
		"Agree":      {reason: "two files that agree", has: all(first), files: []input.Source{file("m.json", of("m")), file("a.parameters.json", `{"v": "1"}`), file("b.parameters.json", `{"V": "1"}`)}},
		"Alone":      {reason: "a parameter file without a template", lost: true, has: []string{"together with its template"}, files: []input.Source{file("m.parameters.json", values("1"))}},
		"Undeclared": {reason: "who types a name means it", options: Options{Parameters: given(t, "V=1", "Other=1")}, lost: true, has: []string{`declares a parameter "Other"`}, files: []input.Source{file("m.json", of("m"))}},
		"Paths":      {reason: "findings say which file", lost: true, has: []string{"n.json: $.resources[0].properties"}, files: []input.Source{file("m.json", resourceless), file("n.json", of("k"))}},
		"Stray":      {reason: "a file of a directory that is nothing of AOSM", has: append(first, "passed over"), files: []input.Source{file("m.json", of("m")), file("m.parameters.json", values("1")), {Name: "bicepconfig.json", Data: []byte(`{"analyzers": {}}`), Stray: true}, {Name: "values.schema.json", Data: []byte(`{"type": "object", "title": "x"}`), Stray: true}}},
		"Empty":      {reason: "a file that is empty says that az failed", fails: "n.json: the input cannot be used: it is empty", files: []input.Source{file("m.json", of("m")), file("n.json", " ")}},
		"Broken":     {reason: "which one cannot be read", fails: "n.json: ", files: []input.Source{file("m.json", of("m")), file("n.json", "{")}},
		"Fewer":      {reason: "an answer and a template that says no more", options: Options{APIVersion: manifestScopedVersion}, has: []string{"an answer has the same resource", "artifactManifestState: Uploaded"}, files: []input.Source{file("m.json", inTemplate("", resourceOf(manifestType, "p/s/m", artifactsOf("a:1")))), file("answer.json", answerOf(scoped("p/artifactStores/s/artifactManifests/m"), strings.Replace(artifactsOf("a:1", "b:1"), "{", `{"artifactManifestState": "Uploaded", `, 1)))}},
		"More":       {reason: "or says more", lost: true, has: []string{"it does not name the resource c:1"}, files: []input.Source{file("m.json", inTemplate("", resourceOf(manifestType, "p/s/m", artifactsOf("a:1", "c:1")))), file("answer.json", answerOf(scoped("p/artifactStores/s/artifactManifests/m"), artifactsOf("a:1")))}},
		"TwoAnswers": {reason: "one resource, two contents", lost: true, has: []string{"with other content", `artifactVersion: "1"`, `artifactVersion: "2"`}, options: Options{APIVersion: manifestScopedVersion}, files: []input.Source{file("a.json", answerOf(scoped("p/artifactStores/s/artifactManifests/m"), artifactsOf("a:1"))), file("b.json", answerOf(scoped("p/artifactStores/s/artifactManifests/m"), artifactsOf("a:1", "a:2")))}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forward := objectsOf(c.check(t))
			for i, j := 0, len(c.files)-1; i < j; i, j = i+1, j-1 {
				c.files[i], c.files[j] = c.files[j], c.files[i]
			}
			if c.fails == "" {
				if back := objectsOf(c.check(t)); back != forward {
					t.Errorf("%s: in the other order it makes\n%s\nnot\n%s", c.reason, back, forward)
				}
			}
		})
	}
}

const resourceless = `{"$schema": "deploymentTemplate.json#", "resources": []}`

// objectsOf returns the objects of a golden file, without the findings.
func objectsOf(written string) string {
	objects, _, _ := strings.Cut(written, "# ")
	return objects
}
