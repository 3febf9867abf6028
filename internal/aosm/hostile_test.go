package aosm

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// hostile returns a template of one manifest whose artifacts are an expression.
func hostile(variables, artifacts string) string {
	return fmt.Sprintf(`{"$schema": "deploymentTemplate.json#", "variables": {%s}, "resources": [{"type": "Microsoft.HybridNetwork/publishers/artifactStores/artifactManifests",
		"apiVersion": "2025-03-30", "name": "p/s/m", "properties": {"artifacts": %s}}]}`, variables, artifacts)
}

func doubling(first, step string) string {
	var b strings.Builder
	b.WriteString(`"v0": ` + first)
	for i := 1; i <= 60; i++ {
		fmt.Fprintf(&b, `, "v%d": "[`+step+`]"`, i, i-1, i-1)
	}
	return b.String()
}

func TestHostileInput(t *testing.T) {
	t.Parallel()
	resources := strings.Repeat(`{"copy": {"name": "c", "count": 800}, "type": "Microsoft.Resources/deployments", "name": "d", "properties": {"template": {"resources": [`, 6)
	deep := strings.Repeat(`{"`+strings.Repeat("a", 150)+`": {"type": "Microsoft.HybridNetwork/publishers", "name": "p", "resources": `, 45)
	tests := map[string]struct{ reason, input, says string }{
		"Empty":       {"nothing is not an input", " ", "it is empty"},
		"Broken":      {"no JSON", `{"a": [1, }`, "at $.a, before byte 10"},
		"Cut":         {"the end is missing", `{"a": [1`, "unexpected EOF"},
		"Twice":       {"one name, two values", `{"a": {"b c": 1, "b c": 2}}`, `$.a["b c"] is there twice`},
		"Document":    {"in the second document", `{} {"a": 1, "a": 2}`, "document 2: $.a is there twice"},
		"TwoCases":    {"one name in two cases, where it matters", `{"id": "/providers/a.b/c/d", "ID": "/providers/a.b/c/e"}`, "differ in case only"},
		"Deep":        {"deeper than anything real", strings.Repeat("[", 200), "deep in each other"},
		"UTF16":       {"PowerShell's encoding", "\xff\xfe{\x00}\x00", "UTF-16"},
		"Laughs":      {"each variable twice the one before", hostile(doubling(`"ha"`, "concat(variables('v%d'), variables('v%d'))"), `[{"artifactName": "[variables('v60')]", "artifactVersion": "1"}]`), "expand beyond"},
		"FormatLaugh": {"the same with format", hostile(doubling(`"ha"`, "format('{0}{1}', variables('v%d'), variables('v%d'))"), `[{"artifactName": "[variables('v60')]", "artifactVersion": "1"}]`), "expand beyond"},
		"ArrayLaugh":  {"the same with arrays", hostile(doubling(`["ha"]`, "concat(variables('v%d'), variables('v%d'))"), `"[variables('v60')]"`), "expand beyond"},
		"TreeLaugh":   {"the same when written", hostile(doubling(`["ha"]`, "createArray(variables('v%d'), variables('v%d'))"), `[{"artifactName": "[string(variables('v60'))]", "artifactVersion": "1"}]`), "expand beyond"},
		"Replaced":    {"one character by many", hostile(`"w": "[replace(replace(replace(concat('`+strings.Repeat("a", 10000)+`'), 'a', '`+strings.Repeat("b", 10000)+`'), 'b', 'c'), 'c', 'd')]"`, `[{"artifactName": "[variables('w')]", "artifactVersion": "1"}]`), "expand beyond"},
		"Ranges":      {"ranges in ranges", hostile(`"v": "[map(range(0, 10000), lambda('x', map(range(0, 10000), lambda('y', range(0, 10000)))))]"`, `"[variables('v')]"`), "expand beyond"},
		"UnionLaugh":  {"objects in objects", hostile(doubling(`{"a": {}}`, "union(createObject('a', variables('v%d')), createObject('b', variables('v%d')))"), `[{"artifactName": "[string(variables('v60'))]", "artifactVersion": "1"}]`), "expand beyond"},
		"Reduced":     {"a text that doubles with each item", hostile(`"v": "[reduce(range(0, 60), 'ha', lambda('s', 'x', concat(lambdaVariables('s'), lambdaVariables('s'))))]"`, `[{"artifactName": "[variables('v')]", "artifactVersion": "1"}]`), "expand beyond"},
		"Recursive":   {"a function that calls itself twice", strings.Replace(hostile(`"v": "[a.f('x')]"`, `[{"artifactName": "[variables('v')]", "artifactVersion": "1"}]`), `"variables"`, `"functions": [{"namespace": "a", "members": {"f": {"parameters": [{"name": "x", "type": "string"}], "output": {"type": "string", "value": "[coalesce(tryGet(createObject(), 'a'), concat(if(less(1, 2), a.g(parameters('x')), ''), a.g(parameters('x'))))]"}}, "g": {"parameters": [{"name": "x", "type": "string"}], "output": {"type": "string", "value": "[concat(a.h(parameters('x')), a.h(parameters('x')))]"}}, "h": {"parameters": [{"name": "x", "type": "string"}], "output": {"type": "string", "value": "[join(map(range(0, 10000), lambda('i', join(map(range(0, 10000), lambda('j', parameters('x'))), ''))), '')]"}}}}], "variables"`, 1), "expand beyond"},
		"LongTexts":   {"a long text looked at often", hostile(`"big": "[join(map(range(0, 10000), lambda('x', '`+strings.Repeat("a", 1000)+`')), '')]", "v": "[filter(range(0, 10000), lambda('x', filter(range(0, 10000), lambda('y', contains(variables('big'), 'b')))))]"`, `"[variables('v')]"`), "expand beyond"},
		"Sorted":      {"a comparison that costs much", hostile(`"v": "[sort(range(0, 10000), lambda('a', 'b', less(length(range(0, 10000)), length(range(0, 10000)))))]"`, `"[variables('v')]"`), "expand beyond"},
		"Loops":       {"loops in loops in loops", `{"$schema": "deploymentTemplate.json#", "resources": [` + resources + strings.Repeat("]}}}", 6) + "]}", "expand beyond"},
		"LongPaths":   {"a long path in each of many findings", `{"$schema": "deploymentTemplate.json#", "resources": ` + deep + "[1" + strings.Repeat(", 1", 12_000) + "]" + strings.Repeat("}}", 45) + "}", "expand beyond"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Import(strings.NewReader(tc.input), Options{})
			if !errors.Is(err, document.ErrInput) || !strings.Contains(err.Error(), tc.says) || r != nil {
				t.Errorf("%s: %v, error %v, want one that says %q", tc.reason, r, err, tc.says)
			}
		})
	}
}

// endless is a reader without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestInputHasABound(t *testing.T) {
	t.Parallel()
	e := &endless{}
	if _, err := Import(e, Options{}); !errors.Is(err, document.ErrInput) || !strings.Contains(err.Error(), "67108864 bytes") {
		t.Errorf("the error is %v", err)
	}
	if e.read > 2*document.MaxBytes {
		t.Errorf("%d bytes were read of an input that has no end", e.read)
	}
	many := "[" + strings.Repeat("0,", document.MaxValues) + "0]"
	if _, err := Import(strings.NewReader(many), Options{}); !errors.Is(err, document.ErrInput) || !strings.Contains(err.Error(), "1000000 values") {
		t.Errorf("the error is %v", err)
	}
}
