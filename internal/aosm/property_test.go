package aosm

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/finding"
)

// templateWriter writes templates whose references have unique names, in every form that it knows.
type templateWriter struct {
	*rand.Rand
	names     int
	variables []string
	given     []string // members of parameters
	outputs   []string
}

func (w *templateWriter) pick(all ...string) string { return all[w.IntN(len(all))] }

// text returns an ARM expression, without brackets, that evaluates to a text or cannot be decided.
func (w *templateWriter) text(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	w.names++
	name := fmt.Sprintf("x%d", w.names)
	cut := w.IntN(len(s) + 1)
	switch w.IntN(22) {
	case 0:
		return fmt.Sprintf("concat('%s', '%s')", s[:cut], s[cut:])
	case 1:
		return fmt.Sprintf("format('{0}%s', '%s')", s[cut:], s[:cut])
	case 2:
		w.variables = append(w.variables, fmt.Sprintf("%q: %q", name, s))
		return "variables('" + name + "')"
	case 3:
		w.given = append(w.given, fmt.Sprintf(`%q: {"type": "string", "defaultValue": %q}`, name, s))
		return "parameters('" + name + "')"
	case 4:
		w.given = append(w.given, fmt.Sprintf(`%q: {"type": "string"}`, name))
		return "parameters('" + name + "')"
	case 5:
		return "if(equals('a', 'a'), " + quoted + ", reference('x'))"
	case 6:
		return "coalesce(null(), " + quoted + ")"
	case 7:
		return "createObject('a', " + quoted + ").A"
	case 8:
		return "union(createObject('a', 1), createObject('a', " + quoted + ")).a"
	case 9:
		return "join(split(" + quoted + ", '/'), '/')"
	case 10:
		return "json('{\"a\": \"" + s + "\"}').a"
	case 11:
		return "first(createArray(" + quoted + "))"
	case 12:
		return "first(map(createArray(" + quoted + "), lambda('x', lambdaVariables('x'))))"
	case 13:
		return "contoso.same(" + quoted + ")"
	case 14:
		w.outputs = append(w.outputs, fmt.Sprintf(`%q: {"type": "string", "value": %q}`, name, s))
		return "reference(resourceId('Microsoft.Resources/deployments', 'module')).outputs." + name + ".value"
	case 15:
		return "concat(" + quoted + ", uniqueString('x'))"
	case 16:
		return w.pick("reference('x').y", "listKeys('x')", "cidrSubnet('x', 1)", "contoso.none('x')", "toLower(")
	case 17:
		return "concat(" + quoted + ", '{configurationparameters(''x'').y}')"
	case 18:
		return "base64ToString(base64(" + quoted + "))"
	case 19:
		return "substring(concat('ab', " + quoted + "), 2)"
	}
	return quoted
}

// id returns an expression for an id of a type below publishers.
func (w *templateWriter) id(typ string, names ...string) string {
	if w.IntN(3) == 0 {
		return "resourceId('Microsoft.HybridNetwork/publishers" + typ + "', '" + strings.Join(names, "', '") + "')"
	}
	parts := strings.Split(strings.TrimPrefix(typ, "/"), "/")
	id := providersOf(w.IntN(3)) + names[0]
	for i, name := range names[1:] {
		id += "/" + parts[i] + "/" + name
	}
	return w.text(id)
}

func providersOf(i int) string {
	return []string{"/subscriptions/0/resourceGroups/g", "", "/subscriptions/0"}[i] + hybrid
}

// bracketed returns an expression as JSON text in a template.
func bracketed(expression string) string { return quote("[" + expression + "]") }

// object returns a JSON object, literally or as a variable, alone or joined with another one.
func (w *templateWriter) object(content string) string {
	w.names++
	name := fmt.Sprintf("o%d", w.names)
	switch w.IntN(5) {
	case 0:
		w.variables = append(w.variables, fmt.Sprintf("%q: %s", name, content))
		return bracketed("variables('" + name + "')")
	case 1:
		w.variables = append(w.variables, fmt.Sprintf("%q: %s", name, content))
		return bracketed("union(createObject('description', 'x'), variables('" + name + "'))")
	case 2:
		w.given = append(w.given, fmt.Sprintf(`%q: {"type": "object", "defaultValue": %s}`, name, content))
		return bracketed("parameters('" + name + "')")
	}
	return content
}

// list returns a JSON list of one item, literally or made by a function.
func (w *templateWriter) list(item string) string {
	w.names++
	name := fmt.Sprintf("l%d", w.names)
	w.variables = append(w.variables, fmt.Sprintf("%q: [%s]", name, item))
	return w.pick("["+item+"]", bracketed("variables('"+name+"')"), bracketed("union(variables('"+name+"'), createArray())"), bracketed("concat(createArray(), variables('"+name+"'))"),
		bracketed("map(range(0, 1), lambda('i', variables('"+name+"')[lambdaVariables('i')]))"), bracketed("filter(variables('"+name+"'), lambda('x', contains(lambdaVariables('x'), 'name')))"),
		bracketed("flatten(createArray(variables('"+name+"')))"))
}

// resource returns one resource, and the name that it refers to.
func (w *templateWriter) resource(i int) (resource, refers string) {
	w.names++
	refers = fmt.Sprintf("ref%d", w.names)
	publisher := w.pick("p", "p", "p", "q", "a b")
	manifest := w.id(manifestType, publisher, "s", refers)
	store := w.id("/artifactStores", publisher, refers)
	switch w.IntN(4) {
	case 0:
		app := fmt.Sprintf(`{"name": "app", "artifactType": "HelmPackage", "artifactProfile": %s}`, w.object(fmt.Sprintf(`{"artifactStore": %s, "helmArtifactProfile": {"helmPackageName": "chart", "helmPackageVersionRange": "1.0.0"}}`,
			w.object(`{"id": `+bracketed(w.pick(manifest, store))+`}`))))
		properties := fmt.Sprintf(`{"networkFunctionTemplate": %s}`, w.object(`{"networkFunctionApplications": `+w.list(app)+`}`))
		return w.looped(definitionType, fmt.Sprintf("p/g/1.0.%d", i), properties), refers
	case 1:
		template := fmt.Sprintf(`{"name": "t", "type": "ArmResourceDefinition", "configuration": %s}`, w.object(fmt.Sprintf(`{"artifactProfile": {"artifactStoreReference": {"id": %s}, "artifactName": "a", "artifactVersion": "1"}}`, bracketed(w.pick(manifest, store)))))
		return w.looped(designType, fmt.Sprintf("p/d/1.0.%d", i), `{"resourceElementTemplates": `+w.list(template)+`}`), refers
	case 2:
		definition := w.id(definitionType, publisher, refers, "1.0.0")
		values := w.pick("format('{{\"nfdv\": \"{0}\"}}', "+definition+")", "concat('{\"a\": {\"nfdvId\": \"', "+definition+", '\"}}')", "string(createObject('nfdv', "+definition+"))",
			"string(createObject('inner', string(createObject('id', "+definition+"))))", "format('\"nfdv\": \"{0}\"', "+definition+")")
		kind := w.pick("ArmResourceDefinition", "NetworkFunctionDefinition")
		template := fmt.Sprintf(`{"name": "t", "type": %q, "configuration": {"parameterValues": %s, "artifactProfile": {"artifactStoreReference": {"id": %q}, "artifactName": "a", "artifactVersion": "1"}}}`, kind, bracketed(values), hybrid+"p/artifactStores/s")
		return w.looped(designType, fmt.Sprintf("p/d/1.0.%d", i), `{"resourceElementTemplates": `+w.list(template)+`}`), refers
	}
	design := w.id(designType, publisher, refers, "1.0.0")
	properties := w.object(`{"networkServiceDesignVersionResourceReference": ` + w.object(`{"idType": "Open", "id": `+bracketed(design)+`}`) + `}`)
	return fmt.Sprintf(`{"type": "Microsoft.HybridNetwork/siteNetworkServices", "apiVersion": "2025-03-30", "name": "site%d", "properties": %s}`, i, properties), refers
}

// looped returns a resource, sometimes with a condition or in a loop of one iteration.
func (w *templateWriter) looped(typ, name, properties string) string {
	r := resourceOf(typ, name, properties)
	return strings.Replace(r, "{", w.pick("{", "{", `{"condition": true, `, `{"condition": "[parameters('on')]", `, `{"condition": false, `, `{"copy": {"name": "c", "count": "[length(createArray(1))]"}, `), 1)
}

// wanted is the name that a resource refers to, and the range of numbers of the variables and parameters made for it.
type wanted struct {
	refers   string
	from, to int
}

// write returns a template of some resources, with what each refers to.
func (w *templateWriter) write() (template string, refers []wanted) {
	w.variables, w.given, w.outputs = nil, []string{`"on": {"type": "bool"}`}, nil
	var resources []string
	for i := range 1 + w.IntN(4) {
		before := w.names
		r, name := w.resource(i)
		resources, refers = append(resources, r), append(refers, wanted{name, before + 1, w.names})
	}
	resources = append(resources, moduleOf("module", "", `"resources": [], "outputs": {`+strings.Join(w.outputs, ", ")+`}`))
	sections := fmt.Sprintf(`"parameters": {%s}, "variables": {%s}, "functions": [{"namespace": "contoso", "members": {"same": {"parameters": [{"name": "x", "type": "string"}], "output": {"type": "string", "value": "[parameters('x')]"}}}}], `,
		strings.Join(w.given, ", "), strings.Join(w.variables, ", "))
	return inTemplate(sections, resources...), refers
}

// saysOf reports whether a finding of the level NotMapped, or of a false condition, is about a resource of a template.
func saysOf(findings []finding.Finding, i int, w wanted) bool {
	at := fmt.Sprintf("$.resources[%d]", i)
	for _, f := range findings {
		if f.Level != finding.NotMapped && !strings.Contains(f.Reason, "its condition is false") {
			continue
		}
		if strings.HasPrefix(f.Path, at) {
			return true
		}
		if own := ownValue.FindStringSubmatch(f.Path); own != nil {
			if n, err := strconv.Atoi(own[1]); err == nil && n >= w.from && n <= w.to {
				return true
			}
		}
	}
	return false
}

// ownValue matches the path of a variable or parameter of a templateWriter.
var ownValue = regexp.MustCompile(`^\$\.(?:variables|parameters)\.[xol]([0-9]+)`)

// TestNoReferenceIsDropped would find a reference that is neither in
// an object nor in a finding, whatever expressions it is written with.
func TestNoReferenceIsDropped(t *testing.T) {
	t.Parallel()
	const seed, rounds = 20250330, 2000
	w := &templateWriter{Rand: rand.New(rand.NewPCG(seed, seed))}
	found, reported := 0, 0
	for round := range rounds {
		template, refers := w.write()
		r, err := Import(strings.NewReader(template), Options{})
		if err != nil {
			t.Fatalf("seed %d, round %d: %v\n%s", seed, round, err, template)
		}
		checkValid(t, r.Objects)
		objects := objectsOf(written(t, r)) + "\n"
		for i, want := range refers {
			name := want.refers
			switch {
			case strings.Contains(objects, "name: "+name+"\n"), strings.Contains(objects, "name: "+name+"-1.0.0\n"):
				found++
			case saysOf(r.Findings, i, want):
				reported++
			default:
				t.Fatalf("seed %d, round %d: %s is neither referred to nor reported\n%s\n%s", seed, round, name, template, written(t, r))
			}
		}
	}
	t.Logf("%d references are in objects, %d are reported", found, reported)
	if found < rounds/2 || reported < rounds/4 {
		t.Errorf("%d references are in objects, %d are reported: the templates are no test of both", found, reported)
	}
}
