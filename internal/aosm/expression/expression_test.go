package expression

import (
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// evaluated returns the value of an expression in a template with some parameters and variables.
func evaluated(t *testing.T, expression string) (string, error) {
	t.Helper()
	const sections = `{
		"parameters": {
			"name": {"type": "string", "defaultValue": "upf"}, "list": {"type": "array", "defaultValue": ["a", "[parameters('name')]"]},
			"count": {"type": "int"}, "on": {"type": "bool"}, "none": {"type": "string"}, "self": {"type": "string", "defaultValue": "[parameters('self')]"}
		},
		"variables": {
			"object": {"Member": {"inner": "[concat(parameters('name'), '!')]"}, "n": 1, "nothing": null},
			"loop": "[variables('loop')]", "endless": {"x": "[variables('endless')]"},
			"copy": [{"name": "made", "count": "[parameters('count')]", "input": "[copyIndex('made')]"}]
		},
		"value": "placeholder"
	}`
	documents, err := document.Parse([]byte(sections))
	if err != nil {
		t.Fatal(err)
	}
	s := template.NewSession(Evaluate)
	given := map[string]template.Value{}
	for name, content := range map[string]string{"count": "3", "on": "true"} {
		given[name] = template.Value{Node: template.NewText(content), Scope: &template.Scope{Session: s}}
	}
	scope := &template.Scope{Session: s, Template: template.NewTemplate(s, documents[0], given)}
	n := documents[0].Member("value")
	n.Text = expression
	var b strings.Builder
	err = template.Value{Node: n, Scope: scope}.Render(&b)
	return b.String(), err
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason     string
		expression string
		want       string // as JSON; with bad, a part of the error
		bad        bool
	}{
		"Text":          {reason: "no brackets, no expression", expression: "upf", want: `"upf"`},
		"Escaped":       {reason: "two brackets are one", expression: "[[upf]", want: `"[upf]"`},
		"Open":          {reason: "an expression ends in a bracket", expression: "[upf", want: `"[upf"`},
		"Quote":         {reason: "two quotes are one", expression: "['it''s']", want: `"it's"`},
		"Parameter":     {reason: "its default", expression: "[parameters('NAME')]", want: `"upf"`},
		"Typed":         {reason: "a given text is of the declared type", expression: "[createArray(parameters('count'), parameters('on'))]", want: `[3,true]`},
		"Member":        {reason: "members in any case, evaluated in turn", expression: "[variables('object').member.Inner]", want: `"upf!"`},
		"Index":         {reason: "by number or by name", expression: "[concat(parameters('list')[1], variables('object')['Member']['inner'])]", want: `"upfupf!"`},
		"Null":          {reason: "null is a value", expression: "[variables('object').nothing]", want: `null`},
		"Format":        {reason: "placeholders by number, braces escaped", expression: "[format('{{{0}-{1}}', parameters('name'), 2)]", want: `"{upf-2}"`},
		"Concat":        {reason: "texts", expression: "[concat('a', 1, true())]", want: `"a1true"`},
		"ConcatArrays":  {reason: "or arrays", expression: "[concat(parameters('list'), createArray('b'))]", want: `["a","upf","b"]`},
		"String":        {reason: "an object as JSON, evaluated", expression: "[string(variables('object'))]", want: `"{\"Member\":{\"inner\":\"upf!\"},\"n\":1,\"nothing\":null}"`},
		"JSON":          {reason: "and back", expression: "[json('{\"a\":[1]}').a[0]]", want: `1`},
		"If":            {reason: "the branch not taken is not evaluated", expression: "[if(equals(parameters('name'), 'upf'), 'yes', reference('x'))]", want: `"yes"`},
		"Logic":         {reason: "conditions", expression: "[and(not(empty(parameters('list'))), or(false(), parameters('on')))]", want: `true`},
		"Replace":       {reason: "versions in names", expression: "[replace('1.0.0', '.', '-')]", want: `"1-0-0"`},
		"Lower":         {reason: "case", expression: "[concat(toLower('A'), toUpper('b'))]", want: `"aB"`},
		"Length":        {reason: "of each kind", expression: "[createArray(length('äb'), length(parameters('list')), length(variables('object')))]", want: `[2,2,3]`},
		"Loop":          {reason: "a variable made by a loop", expression: "[variables('made')]", want: `[0,1,2]`},
		"ResourceID":    {reason: "in a scope of its own", expression: "[resourceId('sub', 'group', 'A.B/c/d', 'x', 'y')]", want: `"/subscriptions/sub/resourceGroups/group/providers/A.B/c/x/d/y"`},
		"GroupID":       {reason: "in another group", expression: "[resourceId('group', 'A.B/c', 'x')]", want: `"/subscriptions/` + arm.OwnSubscription + `/resourceGroups/group/providers/A.B/c/x"`},
		"Spaces":        {reason: "spaces mean nothing", expression: "[ concat ( 'a' , 'b' ) ]", want: `"ab"`},
		"NoValue":       {reason: "no default, no value", expression: "[parameters('none')]", bad: true, want: "--parameters"},
		"NoParameter":   {reason: "not declared", expression: "[parameters('other')]", bad: true, want: "declares no parameter"},
		"Self":          {reason: "a default of itself", expression: "[parameters('self')]", bad: true, want: "refers to itself"},
		"Circle":        {reason: "a variable of itself", expression: "[variables('loop')]", bad: true, want: "refers to itself"},
		"Endless":       {reason: "an object that holds itself", expression: "[string(variables('endless'))]", bad: true, want: "in turn"},
		"Runtime":       {reason: "a deployment knows", expression: "[reference('x').outputs.y]", bad: true, want: "deployment only"},
		"Location":      {reason: "a deployment knows", expression: "[length(resourceGroup().location)]", bad: true, want: "deployment only"},
		"Unknown":       {reason: "not evaluated here", expression: "[parseCidr('10.0.0.0/8')]", bad: true, want: "not among the functions"},
		"Arguments":     {reason: "too many", expression: "[empty('a', 'b')]", bad: true, want: "2 arguments"},
		"WrongKind":     {reason: "a text is needed", expression: "[toLower(parameters('list'))]", bad: true, want: "text is needed"},
		"WrongIndex":    {reason: "no such item", expression: "[parameters('list')[2]]", bad: true, want: "no item 2"},
		"Placeholder":   {reason: "no such argument", expression: "[format('{1}', 'a')]", bad: true, want: "placeholder"},
		"NumberFormat":  {reason: "formats of numbers are not known", expression: "[format('{0:D2}', 1)]", bad: true, want: "placeholder"},
		"Condition":     {reason: "neither true nor false", expression: "[if('x', 1, 2)]", bad: true, want: "neither true nor false"},
		"NoLoop":        {reason: "outside of a loop", expression: "[copyIndex()]", bad: true, want: "no such loop"},
		"Names":         {reason: "a name for each type", expression: "[resourceId('A.B/c/d', 'x')]", bad: true, want: "needs 2 names"},
		"Unclosed":      {reason: "a quote is missing", expression: "[concat('a]", bad: true, want: "closing quote"},
		"Rest":          {reason: "something after the end", expression: "[parameters('name') x]", bad: true, want: "should end"},
		"Bare":          {reason: "a bare word is not a value", expression: "[name]", bad: true, want: "neither a value nor a function"},
		"Nothing":       {reason: "nothing at all", expression: "[]", bad: true, want: "a value is missing"},
		"Deep":          {reason: "nested too deep", expression: "[" + strings.Repeat("string(", 100) + "1" + strings.Repeat(")", 100) + "]", bad: true, want: "more than 64 deep"},
		"Long":          {reason: "longer than ARM allows", expression: "['" + strings.Repeat("a", 25000) + "']", bad: true, want: "more than 24576 bytes"},
		"MembersOfThem": {reason: "a member of a member, without end", expression: "[variables('object')" + strings.Repeat(".a", 100) + "]", bad: true, want: "members of members"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := evaluated(t, tc.expression)
			switch {
			case tc.bad && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s: %q, error %v, want one that says %q", tc.reason, got, err, tc.want)
			case !tc.bad && (err != nil || got != tc.want):
				t.Errorf("%s: %s, error %v, want %s", tc.reason, got, err, tc.want)
			}
		})
	}
}
