package template_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/expression"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

const sections = `{
	"definitions": {"number": {"$ref": "#/definitions/whole"}, "whole": {"type": "int"}},
	"parameters": {
		"name": {"type": "string", "defaultValue": "upf"}, "none": {"type": "string"}, "self": {"type": "string", "defaultValue": "[parameters('self')]"},
		"count": {"type": "int"}, "list": {"type": "array"}, "referred": {"$ref": "#/definitions/number"}, "optional": {"type": "string", "nullable": true}
	},
	"variables": {
		"inner": {"Member": "[concat(parameters('name'), '!')]"}, "loop": "[variables('loop')]",
		"looped": {"copy": [{"name": "list", "count": 2, "input": "[copyIndex('list')]"}]}, "beside": {"copy": [{"name": "list", "count": 1, "input": "x"}], "n": 1},
		"tooMany": {"copy": [{"name": "list", "count": 801, "input": 1}]},
		"copy": [{"name": "made", "count": "[parameters('count')]", "input": "[format('n{0}', copyIndex('made'))]"}, {"name": "unknown", "count": "x", "input": 1}]
	},
	"functions": [{"namespace": "Contoso", "members": {
		"greet": {"parameters": [{"name": "who", "type": "string"}], "output": {"type": "string", "value": "[format('hello {0} from {1}', parameters('who'), 'upf')]"}},
		"twice": {"parameters": [{"name": "who", "type": "string"}], "output": {"type": "string", "value": "[format('{0} {0}', contoso.greet(parameters('who')))]"}},
		"endless": {"parameters": [{"name": "who", "type": "string"}], "output": {"type": "string", "value": "[contoso.endless(parameters('who'))]"}},
		"silent": {"parameters": []}, "nameless": {"parameters": [{"type": "string"}], "output": {"type": "string", "value": "x"}},
		"outer": {"parameters": [], "output": {"type": "string", "value": "[parameters('name')]"}}
	}}],
	"value": "placeholder"
}`

// made returns a template of sections with values for its parameters, the session that evaluates it, and its root.
func made(t *testing.T, sections string, given map[string]string) (*template.Template, *template.Session, *document.Node) {
	t.Helper()
	documents, err := document.Parse([]byte(sections))
	if err != nil {
		t.Fatal(err)
	}
	s := template.NewSession(expression.Evaluate)
	values := map[string]template.Value{}
	for name, content := range given {
		values[name] = template.Value{Node: template.NewText(content), Scope: &template.Scope{Session: s}}
	}
	return template.NewTemplate(s, documents[0], values), s, documents[0]
}

// evaluated returns the value of an expression in the template.
func evaluated(t *testing.T, text string) (string, error) {
	t.Helper()
	of, s, root := made(t, sections, map[string]string{"count": "3", "list": `["a", 1]`, "referred": "7"})
	n := root.Member("value")
	n.Text = text
	return template.Value{Node: n, Scope: &template.Scope{Session: s, Template: of}}.Rendered()
}

// TestValues checks the values of parameters, variables, loops and functions.
func TestValues(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ expression, want, fails string }{
		"LoopedMember":      {`[string(variables('looped'))]`, `"{\"list\":[0,1]}"`, ""},
		"UserFunction":      {`[contoso.greet('x')]`, `"hello x from upf"`, ""},
		"UserInUser":        {`[contoso.twice('x')]`, `"hello x from upf hello x from upf"`, ""},
		"UserArguments":     {`[contoso.greet()]`, "", "0 arguments"},
		"UserEndless":       {`[contoso.endless('x')]`, "", "in turn"},
		"UserUnknown":       {`[contoso.none('x')]`, "", "not among the functions"},
		"UserScope":         {`[contoso.outer()]`, "", "declares no parameter"},
		"UserNoOutput":      {`[contoso.silent()]`, "", "has no output"},
		"UserNoName":        {`[contoso.nameless('x')]`, "", "has no name"},
		"Literal":           {"upf", `"upf"`, ""},
		"Escaped":           {"[[upf]", `"[upf]"`, ""},
		"Default":           {`[parameters('NAME')]`, `"upf"`, ""},
		"Given":             {`[createArray(parameters('count'), parameters('list'))]`, `[3,["a",1]]`, ""},
		"TypeByName":        {`[parameters('referred')]`, `7`, ""},
		"Nullable":          {`[parameters('optional')]`, `null`, ""},
		"NoValue":           {`[parameters('none')]`, "", "give it one with --parameters"},
		"NotDeclared":       {`[parameters('other')]`, "", "declares no parameter"},
		"DefaultOfItself":   {`[parameters('self')]`, "", "refers to itself"},
		"Member":            {`[variables('INNER').member]`, `"upf!"`, ""},
		"NoVariable":        {`[variables('none')]`, "", "has no variable"},
		"VariableOfItself":  {`[variables('loop')]`, "", "refers to itself"},
		"Loop":              {`[variables('made')]`, `["n0","n1","n2"]`, ""},
		"LoopOfUnknown":     {`[variables('unknown')]`, "", "made by a loop that cannot be decided"},
		"LoopBesideMembers": {`[variables('beside')]`, `{"n":1,"list":["x"]}`, ""},
		"LoopTooLong":       {`[variables('tooMany').list[0]]`, "", "no item"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := evaluated(t, tc.expression)
			switch {
			case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
				t.Errorf("%s is %s, error %v, want one that says %q", tc.expression, got, err, tc.fails)
			case tc.fails == "" && (err != nil || got != tc.want):
				t.Errorf("%s is %s, error %v, want %s", tc.expression, got, err, tc.want)
			}
		})
	}
}

// A value that is given as a text must match the declared type.
func TestGivenValuesAreTyped(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"3": "3", "[1]": "", "x": "", "1 2": "", "{": ""} {
		of, _, _ := made(t, `{"parameters": {"n": {"type": "int"}}}`, map[string]string{"n": given})
		v, err := of.Parameter("n")
		if want == "" && given != "[1]" {
			if err == nil || !strings.Contains(err.Error(), "not of the type int") {
				t.Errorf("given %q: %v, want an error of its type", given, err)
			}
			continue
		}
		if got, renderErr := v.Rendered(); err != nil || renderErr != nil || want != "" && got != want {
			t.Errorf("given %q: %s, %v, want %s", given, got, errors.Join(err, renderErr), want)
		}
	}
	of, _, _ := made(t, `{"parameters": {"n": {"type": "int"}}}`, map[string]string{"n": arm.VaultSecret})
	if _, err := of.Parameter("n"); err == nil || !strings.Contains(err.Error(), "deployment only") {
		t.Errorf("a secret of a Key Vault: %v", err)
	}
}

// deploys returns a template with nested deployments: one by name,
// two of a loop, and one whose template is not in the input.
func deploys(symbolic bool) string {
	const inner = `"properties": {"mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"}, "parameters": {"v": {"value": "1.0.0"}, "s": {"reference": {"keyVault": {}}}},
		"template": {"parameters": {"v": {"type": "string"}, "s": {"type": "string"}}, "resources": [], "outputs": {
			"version": {"type": "string", "value": "[parameters('v')]"}, "secret": {"type": "string", "value": "[parameters('s')]"}, "all": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}}}}}`
	resources := []string{
		`"names": {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "Names", ` + inner + `}`,
		`"turns": {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "[format('turn{0}', copyIndex())]", "resourceGroup": "other", "copy": {"name": "turns", "count": 2}, ` + inner + `}`,
		`"linked": {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "linked", "properties": {"templateLink": {"uri": "https://example.com"}}}`,
		`"store": {"type": "A.B/c", "apiVersion": "1", "name": "[concat('s', 'tore')]"}`,
	}
	if symbolic {
		return `{"languageVersion": "2.0", "resources": {` + strings.Join(resources, ", ") + `}}`
	}
	for i, r := range resources {
		_, resources[i], _ = strings.Cut(r, ": ")
	}
	return `{"resources": [` + strings.Join(resources, ", ") + `]}`
}

func TestModules(t *testing.T) {
	t.Parallel()
	const id = "/subscriptions/" + arm.OwnSubscription + "/resourceGroups/%s/providers/Microsoft.Resources/deployments/%s"
	for name, tc := range map[string]struct {
		reason   string
		symbolic bool
		called   string
		fails    string
	}{
		"Name":          {reason: "in any case", called: "NAMES"},
		"Symbol":        {reason: "by its symbolic name where the template has such", symbolic: true, called: "names"},
		"Turn":          {reason: "one turn of a loop", symbolic: true, called: "turns[1]"},
		"ID":            {reason: "by its id", called: fmt.Sprintf(id, arm.OwnGroup, "names")},
		"OtherGroup":    {reason: "where it is deployed to", called: fmt.Sprintf(id, "other", "turn1")},
		"NotThere":      {reason: "its group is another one", called: fmt.Sprintf(id, arm.OwnGroup, "turn1"), fails: "deployment only"},
		"None":          {reason: "nothing has the name", called: "none", fails: "deployment only"},
		"NoDeployment":  {reason: "what a resource is Azure knows", called: "/subscriptions/s/resourceGroups/g/providers/A.B/c/store", fails: "deployment only"},
		"Linked":        {reason: "its template is elsewhere", called: "linked", fails: "deployment only"},
		"NameForSymbol": {reason: "where there are symbolic names a name is not one of them", symbolic: true, called: "turn1", fails: "deployment only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of, session, root := made(t, deploys(tc.symbolic), nil)
			s := &template.Scope{Session: session, Template: of}
			m, err := s.FindModule(tc.called)
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("%s: %v, want an error that says %q", tc.reason, err, tc.fails)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			outputs, err := m.Outputs(s, root)
			if err != nil {
				t.Fatal(err)
			}
			secret := `"` + arm.VaultSecret + `"`
			if got, err := outputs.Rendered(); err != nil || got != `{"version":{"value":"1.0.0"},"secret":{"value":`+secret+`},"all":{"value":[0,1]}}` {
				t.Errorf("%s: the outputs are %s, %v", tc.reason, got, err)
			}
		})
	}
}

func TestSeveralModulesOfOneName(t *testing.T) {
	t.Parallel()
	twice := strings.Replace(deploys(false), `"name": "[format('turn{0}', copyIndex())]"`, `"name": "names"`, 1)
	of, session, _ := made(t, twice, nil)
	if _, err := (&template.Scope{Session: session, Template: of}).FindModule("names"); err == nil || !strings.Contains(err.Error(), "several deployments") {
		t.Errorf("%v", err)
	}
}

// TestEachResource checks that a resource is visited once for each iteration of its loop, with its identity.
func TestEachResource(t *testing.T) {
	t.Parallel()
	of, session, _ := made(t, deploys(true), nil)
	s := &template.Scope{Session: session, Template: of}
	var got []string
	err := of.EachResource(func(symbol string, v template.Value) error {
		typ, name, id, err := s.Identified(v)
		if !strings.HasSuffix(id.String(), "/"+name) {
			t.Errorf("%s: the id is %s", symbol, id)
		}
		got = append(got, symbol+" "+typ+" "+name)
		return err
	})
	const deployment = " Microsoft.Resources/deployments "
	want := []string{"names" + deployment + "Names", "turns[0]" + deployment + "turn0", "turns[1]" + deployment + "turn1", "linked" + deployment + "linked", "store A.B/c store"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	failed := errors.New("enough")
	if err := of.EachResource(func(string, template.Value) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v, want the first error", err)
	}
}

// TestBounds checks that the use of all parts of an import is added up, and that the input is unusable beyond a bound.
func TestBounds(t *testing.T) {
	t.Parallel()
	_, s, _ := made(t, "{}", nil)
	if err := s.Spend(8_000_000, 64<<20); err != nil {
		t.Errorf("within the bounds: %v", err)
	}
	err := s.Spend(1, 0)
	if !errors.Is(err, document.ErrInput) || !s.Fail(err) || !errors.Is(s.Fatal, document.ErrInput) {
		t.Errorf("beyond them: %v, and the session says %v", err, s.Fatal)
	}
	if s.Fail(errors.New("another")) {
		t.Error("any error makes the input unusable")
	}
	var levels []func()
	for {
		done, err := s.Deeper()
		if err != nil {
			break
		}
		if levels = append(levels, done); len(levels) > 1000 {
			t.Fatal("values may refer to others without end")
		}
	}
	if len(levels) != 200 {
		t.Errorf("%d values refer to others in turn, want at most 200", len(levels))
	}
	for _, done := range slices.Backward(levels) {
		done()
	}
	if _, err := s.Deeper(); err != nil {
		t.Errorf("after all of them are done: %v", err)
	}
}

// TestScopes checks that the innermost loop, or variable of a lambda, of a name is used.
func TestScopes(t *testing.T) {
	t.Parallel()
	of, session, root := made(t, "{}", nil)
	s := &template.Scope{Session: session, Template: of}
	inner := s.Turn(template.Loop{Name: "outer", Index: 1, Resource: true}).Turn(template.Loop{Name: "inner", Index: 2})
	for name, want := range map[string]int{"outer": 1, "INNER": 2, "": 1} {
		if l := inner.Loop.Named(name); l == nil || l.Index != want {
			t.Errorf("the loop %q is %+v, want turn %d", name, l, want)
		}
	}
	if l := s.Turn(template.Loop{Name: "a", Index: 3}).Loop.Named(""); l == nil || l.Index != 3 {
		t.Errorf("without a resource's loop it is %+v", l)
	}
	if l := inner.Loop.Named("none"); l != nil {
		t.Errorf("a loop of no such name is %+v", l)
	}
	one, err := s.Number(root, 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Number(root, 2)
	if err != nil {
		t.Fatal(err)
	}
	bound := s.Bind("x", one).Bind("y", two).Bind("X", two)
	if v, ok := bound.Variable("x"); !ok || v.Text != "2" {
		t.Errorf("the innermost x is %q, %t", v.Text, ok)
	}
	if _, ok := s.Variable("x"); ok {
		t.Error("the outer scope has the variable")
	}
}

// TestSame checks that a value that only a deployment knows equals only itself, and is neither null nor empty.
func TestSame(t *testing.T) {
	t.Parallel()
	of, session, root := made(t, "{}", nil)
	s := &template.Scope{Session: session, Template: of}
	text := func(content string) template.Value {
		v, err := s.Make(root, document.Text, content)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tc := range []struct {
		reason  string
		a, b    template.Value
		same    bool
		unknown bool
	}{
		{"equal", text("a"), text("a"), true, false},
		{"different", text("a"), text("b"), false, false},
		{"unknown, and the same", text(arm.OwnGroup), text(arm.OwnGroup), true, false},
		{"unknown", text(arm.OwnGroup), text("a"), false, true},
		{"what a deployment knows is not empty", text(arm.OwnGroup), text(""), false, false},
		{"nor is it null", text(arm.OwnGroup), template.Value{}, false, false},
	} {
		if same, err := template.Same(tc.a, tc.b); same != tc.same || (err != nil) != tc.unknown {
			t.Errorf("%s: %t, %v", tc.reason, same, err)
		}
	}
}

// TestKinds checks the errors for a value of another kind than needed, and that an absent value has no kind.
func TestKinds(t *testing.T) {
	t.Parallel()
	of, session, root := made(t, `{"a": "x", "b": true, "n": 1, "float": 1.5, "list": ["[concat('a', 'b')]"], "nothing": null, "A": 1}`, nil)
	v := template.Value{Node: root, Scope: &template.Scope{Session: session, Template: of}}
	if word, err := v.Needed("b"); err != nil || word != "true" {
		t.Errorf("a needed member is %q, %v", word, err)
	}
	for _, name := range []string{"none", "nothing", "list"} {
		if _, err := v.Needed(name); err == nil {
			t.Errorf("%s is a text", name)
		}
	}
	if got := v.Get("n").AsText(); got != "" {
		t.Errorf("a number is the text %q", got)
	}
	if n, err := v.Get("n").Integer(); err != nil || n != 1 {
		t.Errorf("the number is %d, %v", n, err)
	}
	if _, err := v.Get("float").Integer(); err == nil {
		t.Error("1.5 is a whole number")
	}
	if _, err := v.Get("n").Truth(); err == nil {
		t.Error("a number is true or false")
	}
	if item, err := v.Get("list").Numbered("0"); err != nil || item.Text != "ab" {
		t.Errorf("the item is %q, %v", item.Text, err)
	}
	if _, err := v.Get("list").Numbered("1"); err == nil || !strings.Contains(err.Error(), "no item 1") {
		t.Errorf("beyond the list: %v", err)
	}
	if v.Get("nothing").There() || v.Get("none").There() || v.Get("list").Item(-1).There() {
		t.Error("what is absent is there")
	}
	// Two names that differ only in case make the input unusable once the first is read.
	if v.Get("a"); session.Fatal == nil || !strings.Contains(session.Fatal.Error(), "differ in case only") {
		t.Errorf("the session says %v", session.Fatal)
	}
}
