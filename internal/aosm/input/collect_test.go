package input

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/expression"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

const (
	scope        = "/subscriptions/s/resourceGroups/g/providers/Microsoft.HybridNetwork/publishers/"
	publisher    = `{"id": "` + scope + `p", "properties": {}}`
	manifest     = `{"id": "` + scope + `p/artifactStores/s/artifactManifests/m", "properties": {"a": 1}}`
	manifestType = "Microsoft.HybridNetwork/publishers/artifactStores/artifactManifests"
)

// templateOf returns a template with resources, and other sections before them.
func templateOf(sections string, resources ...string) string {
	return `{"$schema": "deploymentTemplate.json#", ` + sections + `"resources": [` + strings.Join(resources, ", ") + `]}`
}

func resource(name, more string) string {
	return `{"type": "` + manifestType + `", "apiVersion": "2025-03-30", "name": "` + name + `"` + more + `}`
}

// collected returns the resources of some files, each with its API version, and the findings.
func collected(t *testing.T, o Options, files ...Source) (found, findings []string, err error) {
	t.Helper()
	documents, err := Read(files)
	if err != nil {
		return nil, nil, err
	}
	s := template.NewSession(expression.Evaluate)
	r := finding.NewReport(s)
	all, _ := Collect(documents, o, s, r)
	for _, one := range all {
		line := strings.TrimSpace(fmt.Sprintf("%s %s %s", one.ID.Type(), strings.Join(one.ID.Names, "/"), one.API))
		for range one.Also {
			line += ", and elsewhere"
		}
		found = append(found, line)
	}
	for _, f := range r.Findings {
		findings = append(findings, fmt.Sprintf("%s %s", f.Level, f))
	}
	return found, findings, s.Fatal
}

const (
	aPublisher = "microsoft.hybridnetwork/publishers p"
	aManifest  = "microsoft.hybridnetwork/publishers/artifactstores/artifactmanifests p/s/m"
)

// TestCollect collects the resources of answers and templates in every form, and reports everything else.
func TestCollect(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, input string
		options       Options
		found         []string
		says          string // the only finding; "" if there is none
	}{
		"Answer":     {reason: "what az show prints", input: publisher, found: []string{aPublisher}},
		"List":       {reason: "what az list prints", input: "[" + publisher + ", " + manifest + "]", found: []string{aPublisher, aManifest}},
		"Page":       {reason: "what the REST API answers", input: `{"value": [` + publisher + `], "nextLink": null, "count": 1}`, found: []string{aPublisher}},
		"MorePages":  {reason: "there is more than that", input: `{"value": [` + publisher + `], "nextLink": "https://x"}`, found: []string{aPublisher}, says: "NotMapped $.nextLink: this is one page, and there are more"},
		"Asked":      {reason: "the version of its API is given", input: manifest, options: Options{APIVersion: "2023-09-01"}, found: []string{aManifest + " 2023-09-01"}},
		"AskedStore": {reason: "that of a store goes first", input: manifest, options: Options{APIVersion: "2023-09-01", APIVersions: map[string]string{"p/s": "2025-03-30"}}, found: []string{aManifest + " 2025-03-30"}},
		"SaidItself": {reason: "an answer can say it", input: strings.Replace(manifest, "{", `{"apiVersion": "x", `, 1), options: Options{APIVersion: "y"}, found: []string{aManifest + " x"}},
		"OtherName":  {reason: "its id counts", input: strings.Replace(publisher, "{", `{"name": "q", `, 1), found: []string{aPublisher}, says: `Note $.name: the name differs from that in the id, "p"; the id is used`},
		"TypeName":   {reason: "a type and a name, without an id", input: `{"type": "Microsoft.HybridNetwork/publishers", "name": "p"}`, found: []string{aPublisher}},
		"Nothing":    {reason: "nothing says what it is", input: `{"name": "p"}`, says: "NotMapped $: nothing says what it is"},
		"BadType":    {reason: "it would have to be in something", input: `{"type": "Microsoft.HybridNetwork/publishers/artifactStores", "name": "p"}`, says: "NotMapped $: without an id, its type and name have to say what it is in"},
		"BadID":      {reason: "its id names nothing", input: `{"id": "x"}`, says: "NotMapped $: "},
		"NumberID":   {reason: "nor does a number", input: `{"id": 1}`, says: "NotMapped $: its id is not text"},
		"Error":      {reason: "az answers errors as well", input: `{"error": {"code": "NotFound"}}`, says: "NotMapped $: it is an answer that reports an error"},
		"Text":       {reason: "not an object", input: `["x"]`, says: "NotMapped $[0]: it is not a resource"},
		"Parameters": {reason: "a parameter file without its template", input: `{"$schema": "deploymentParameters.json#", "parameters": {}}`, says: "NotMapped $: it is a parameter file"},
		"Same":       {reason: "it is there twice", input: "[" + manifest + ", " + manifest + "]", found: []string{aManifest}, says: "Note $[1]: the same is at $[0], too"},
		"Other":      {reason: "with other content", input: "[" + manifest + ", " + strings.Replace(manifest, `"a": 1`, `"a": 2`, 1) + "]", found: []string{aManifest + ", and elsewhere"}},
		"OtherGroup": {reason: "another resource of the same name", input: "[" + manifest + ", " + strings.Replace(strings.Replace(manifest, "Groups/g", "Groups/h", 1), `"a": 1`, `"a": 2`, 1) + "]", found: []string{aManifest}, says: "NotMapped $[1]: it is another resource than that of the same name at $[0]"},

		"Template":    {reason: "a template's resource", input: templateOf("", resource("p/s/m", "")), found: []string{aManifest + " 2025-03-30"}},
		"Loop":        {reason: "as often as its loop turns", input: templateOf("", resource("[format('p/s/m{0}', copyIndex())]", `, "copy": {"name": "l", "count": 2}`)), found: []string{aManifest + "0 2025-03-30", aManifest + "1 2025-03-30"}},
		"BadLoop":     {reason: "nobody knows how often", input: templateOf("", resource("p/s/m", `, "copy": {"name": "l", "count": "[reference('x')]"}`)), says: "NotMapped $.resources[0]: how often its loop turns cannot be decided"},
		"Condition":   {reason: "its condition is false", input: templateOf("", resource("p/s/m", `, "condition": "[equals(1, 2)]"`)), says: "Note $.resources[0]: its condition is false"},
		"BadCond":     {reason: "nobody knows whether", input: templateOf("", resource("p/s/m", `, "condition": "[reference('x')]"`)), says: "NotMapped $.resources[0]: whether it is deployed cannot be decided"},
		"Existing":    {reason: "it names what another template makes", input: templateOf("", resource("p/s/m", `, "existing": true`)), says: "Note $.resources[0]: the template names it as existing"},
		"NoType":      {reason: "it has no type", input: templateOf("", `{"name": "x"}`), says: "NotMapped $.resources[0]: its type cannot be decided: no type"},
		"NoName":      {reason: "nor a name", input: templateOf("", resource("[utcNow2()]", "")), says: "NotMapped $.resources[0]: its name cannot be decided"},
		"BadName":     {reason: "a name for each type", input: templateOf("", resource("m", "")), says: "NotMapped $.resources[0]: "},
		"NoObject":    {reason: "not an object", input: templateOf("", `"x"`), says: "NotMapped $.resources[0]: it is not a resource"},
		"NoResources": {reason: "they are known at deployment only", input: `{"$schema": "deploymentTemplate.json#", "resources": "[reference('x')]"}`, says: "NotMapped $: its resources cannot be decided"},
		"TextOfThem":  {reason: "neither a list nor an object", input: `{"$schema": "deploymentTemplate.json#", "resources": 1}`, says: "NotMapped $.resources: resources is neither a list nor an object"},
		"Children": {reason: "resources in a resource, by symbolic name", found: []string{aPublisher + " 1", "microsoft.hybridnetwork/publishers/artifactstores p/s 1"},
			input: `{"$schema": "deploymentTemplate.json#", "resources": {"x": {"type": "Microsoft.HybridNetwork/publishers", "apiVersion": "1", "name": "p", "resources": [{"type": "artifactStores", "apiVersion": "1", "name": "s"}]}}}`},
		"Nested": {reason: "a deployment in a template", found: []string{aManifest + " 2025-03-30"},
			input: templateOf("", `{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "properties": {"mode": "Incremental", "template": {"resources": [`+resource("p/s/m", "")+`]}}}`)},
		"Linked":      {reason: "its template is elsewhere", input: templateOf("", `{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "properties": {"templateLink": {}}}`), says: "NotMapped $.resources[0]: the template that it deploys is not in the input"},
		"Undecided":   {reason: "where it deploys to is not known", input: templateOf("", `{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "properties": "[reference('x')]"}`), says: "NotMapped $.resources[0]: the deployment cannot be decided"},
		"Wrapped":     {reason: "what az group export prints", input: `{"template": ` + templateOf("", resource("p/s/m", "")) + `}`, found: []string{aManifest + " 2025-03-30"}},
		"WithValues":  {reason: "the request of a deployment", input: `{"properties": {"template": ` + templateOf(`"parameters": {"n": {"type": "string"}}, `, resource("[parameters('n')]", "")) + `, "parameters": {"n": {"value": "p/s/m"}}}}`, found: []string{aManifest + " 2025-03-30"}},
		"AnswersToo":  {reason: "an answer of what a template makes", input: templateOf("", resource("p/s/m", `, "properties": {"a": 1}`)) + manifest, found: []string{aManifest + " 2025-03-30, and elsewhere"}},
		"NotDeclared": {reason: "who types a name means it", input: templateOf(""), options: Options{Parameters: set(t, "n=1")}, says: `NotMapped --parameters: no template of the input declares a parameter "n"`},
		"GivenByFlag": {reason: "a value that is given", input: templateOf(`"parameters": {"n": {"type": "string", "defaultValue": "p/s/x"}}, `, resource("[parameters('n')]", "")), options: Options{Parameters: set(t, "N=p/s/m")}, found: []string{aManifest + " 2025-03-30"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, findings, err := collected(t, tc.options, Source{Data: []byte(tc.input)})
			if diff := cmp.Diff(tc.found, found); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", tc.reason, err, diff)
			}
			if tc.says == "" && len(findings) > 0 || tc.says != "" && (len(findings) != 1 || !strings.HasPrefix(findings[0], tc.says)) {
				t.Errorf("%s: the findings are %q, want %q", tc.reason, findings, tc.says)
			}
		})
	}
}

// TestScopes has a resource in the input twice, in both orders. The ids must
// not be of two resources, and the most complete one must be kept.
func TestScopes(t *testing.T) {
	t.Parallel()
	in := func(group, more string) string {
		return templateOf("", `{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d"`+group+`, "properties": {"mode": "Incremental", "template": {"resources": [`+resource("p/s/m", more)+`]}}}`)
	}
	answer := func(id string) string { return `{"id": "` + id + `", "properties": {"a": 1}}` }
	const bare = "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/s/artifactManifests/m"
	for name, tc := range map[string]struct {
		reason, a, b string
		want         string // the id, "" if the ids are of two resources
	}{
		"TwoGroups":     {reason: "a template deploys the same into two groups", a: in(`, "resourceGroup": "g"`, ""), b: in(`, "resourceGroup": "h"`, "")},
		"TwoAnswers":    {reason: "two groups have the same", a: answer("/subscriptions/s/resourceGroups/g" + bare), b: answer("/subscriptions/s/resourceGroups/h" + bare)},
		"OneGroup":      {reason: "a template deploys into its own group", a: in("", ""), b: in(`, "resourceGroup": "g"`, ""), want: "/resourceGroups/g" + bare},
		"OneOther":      {reason: "the content differs, too", a: in("", ""), b: in(`, "resourceGroup": "g"`, `, "tags": {}`), want: "/resourceGroups/g" + bare},
		"Answer":        {reason: "az show and the public examples", a: answer("/subscriptions/s" + bare), b: answer("/subscriptions/s/resourceGroups/g" + bare), want: "/subscriptions/s/resourceGroups/g" + bare},
		"AnswerOther":   {reason: "the content differs, too", a: answer("/subscriptions/s" + bare), b: strings.Replace(answer("/subscriptions/s/resourceGroups/g"+bare), "1", "2", 1), want: "/subscriptions/s/resourceGroups/g" + bare},
		"AnswerBare":    {reason: "a template says more than the answer", a: answer(bare), b: in(`, "resourceGroup": "g"`, ""), want: "/resourceGroups/g" + bare},
		"Both":          {reason: "each has what the other lacks", a: answer("/subscriptions/s" + bare), b: answer("/resourceGroups/g" + bare), want: "/subscriptions/s/resourceGroups/g" + bare},
		"OtherSpelling": {reason: "az writes ids in two ways", a: answer("/subscriptions/s/resourceGroups/g" + bare), b: answer("/subscriptions/s/resourcegroups/G" + bare), want: "/subscriptions/s/resourceGroups/g" + bare},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, files := range [][]Source{{file("a", tc.a), file("b", tc.b)}, {file("b", tc.b), file("a", tc.a)}} {
				documents, err := Read(files)
				if err != nil {
					t.Fatal(err)
				}
				s := template.NewSession(expression.Evaluate)
				r := finding.NewReport(s)
				all, _ := Collect(documents, Options{}, s, r)
				unmapped := len(r.Findings) == 1 && r.Findings[0].Level == finding.NotMapped
				if s.Fatal != nil || len(all) != 1 || unmapped != (tc.want == "") {
					t.Fatalf("%s: %d resources, %v, %v", tc.reason, len(all), r.Findings, s.Fatal)
				}
				id := all[0].Named
				if id == "" {
					id = all[0].ID.String()
				}
				if !unmapped && id != tc.want {
					t.Errorf("%s: %s first: the id is %s, want %s", tc.reason, files[0].Name, id, tc.want)
				}
			}
		})
	}
}

func set(t *testing.T, pair string) (p Parameters) {
	t.Helper()
	if err := p.Set(pair); err != nil {
		t.Fatal(err)
	}
	return p
}

func file(name, data string) Source { return Source{Name: name, Data: []byte(data)} }

// TestFiles checks which values each of several templates gets, and which input is unusable.
func TestFiles(t *testing.T) {
	t.Parallel()
	of := func(store string) string {
		return templateOf(`"parameters": {"n": {"type": "string"}}, `, resource("[format('p/"+store+"/{0}', parameters('n'))]", ""))
	}
	values := func(v string) string {
		return `{"$schema": "deploymentParameters.json#", "parameters": {"n": {"value": "` + v + `"}}}`
	}
	at := func(name string) string { return strings.Replace(aManifest, "p/s/m", name, 1) + " 2025-03-30" }
	stray := file("bicepconfig.json", `{"analyzers": {}}`)
	stray.Stray = true
	for name, tc := range map[string]struct {
		reason string
		files  []Source
		found  []string
		says   string // an error, or a finding
	}{
		"Beside":     {reason: "each template has its own", files: []Source{file("x/a.json", of("a")), file("x/a.parameters.json", values("1")), file("x/b.json", of("b")), file("x/b.parameters.json", values("2"))}, found: []string{at("p/a/1"), at("p/b/2")}},
		"All":        {reason: "one for all", files: []Source{file("a.json", of("a")), file("b.json", of("b")), file("all.parameters.json", `{"n": "3"}`)}, found: []string{at("p/a/3"), at("p/b/3")}},
		"OwnFirst":   {reason: "its own counts more", files: []Source{file("a.json", of("a")), file("a.parameters.json", values("1")), file("all.parameters.json", `{"n": "3"}`)}, found: []string{at("p/a/1")}},
		"Agree":      {reason: "two that agree", files: []Source{file("a.json", of("a")), file("x.parameters.json", values("1")), file("y.parameters.json", values("1"))}, found: []string{at("p/a/1")}},
		"Contradict": {reason: "their order says nothing", files: []Source{file("a.json", of("a")), file("x.parameters.json", values("1")), file("y.parameters.json", values("2"))}, says: `two parameter files give "n" different values`},
		"BadValues":  {reason: "a value that is not one", files: []Source{file("a.json", of("a")), file("x.parameters.json", `{"$schema": "deploymentParameters.json#", "parameters": {"n": 1}}`)}, says: "has neither a value nor a reference"},
		"Stray":      {reason: "a file of a directory need not be of AOSM", files: []Source{stray}, says: "Note bicepconfig.json: $: the file has nothing of AOSM, and is passed over"},
		"Empty":      {reason: "az has failed", files: []Source{file("a.json", " ")}, says: "a.json: the input cannot be used: it is empty"},
		"None":       {reason: "no file was given", says: "it is empty"},
		"Broken":     {reason: "which one it is", files: []Source{file("a.json", publisher), file("b.json", "{")}, says: "b.json: "},
		"NoJSON":     {reason: "a table", files: []Source{file("a.json", "Name  Location")}, says: "a.json: the input cannot be used: it is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, findings, err := collected(t, Options{}, tc.files...)
			if diff := cmp.Diff(tc.found, found); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			said := strings.Join(findings, "\n")
			if err != nil {
				said = err.Error()
			}
			if !strings.Contains(said, tc.says) || tc.says == "" && said != "" || err != nil && !errors.Is(err, document.ErrInput) {
				t.Errorf("%s: it says %q, want %q", tc.reason, said, tc.says)
			}
		})
	}
	large := make([]byte, document.MaxBytes)
	if _, err := Read([]Source{{Data: []byte("{}")}, {Data: large}}); !errors.Is(err, document.ErrInput) || !strings.Contains(err.Error(), "import its resources in parts") {
		t.Errorf("more than is read of all files: %v", err)
	}
}
