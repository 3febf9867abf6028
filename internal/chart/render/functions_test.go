package render

import (
	"errors"
	"strings"
	"testing"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// rendered returns what the template a renders in a chart that also has a file of definitions, a value and files.
func rendered(t *testing.T, text string) (string, error) {
	t.Helper()
	c := of(map[string]string{"a": text, "_defs": `{{ define "hello" }}hello {{ . }}{{ end }}{{ define "loop" }}{{ include "loop" . }}{{ end }}`})
	for name, data := range map[string]string{"conf/a.ini": "x=1\ny=2\n", "conf/sub/b.ini": "z", "other.txt": "other"} {
		c.Files = append(c.Files, &helmchart.File{Name: name, Data: []byte(data)})
	}
	got := Chart(c, chartutil.Values{"Values": chartutil.Values{"list": []any{"a", 1}, "table": map[string]any{"b": true}, "text": "{{ .Values.table.b }}"}})
	return got.Files["app/templates/a"], got.Failed["app/templates/a"]
}

// TestFunctions checks the functions of Helm that this package has copies of.
func TestFunctions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want, fails string }{
		"YAML":          {"{{ toYaml .Values.list }}", "- a\n- 1", ""},
		"YAMLPretty":    {"{{ toYamlPretty (dict `a` (list 1)) }}", "a:\n  - 1", ""},
		"FromYAML":      {"{{ (fromYaml `a: [1]`).a }}", "[1]", ""},
		"FromBadYAML":   {"{{ (fromYaml `a: [`).Error }}", "error converting YAML to JSON", ""},
		"YAMLList":      {"{{ index (fromYamlArray `[x, z]`) 1 }}", "z", ""},
		"BadYAMLList":   {"{{ index (fromYamlArray `{`) 0 }}", "error converting YAML to JSON", ""},
		"JSON":          {"{{ toJson .Values.table }}", `{"b":true}`, ""},
		"FromJSON":      {"{{ (fromJson `{\"a\": 1}`).a }}", "1", ""},
		"FromBadJSON":   {"{{ (fromJson `{`).Error }}", "unexpected end of JSON input", ""},
		"JSONList":      {"{{ len (fromJsonArray `[1, 2]`) }}", "2", ""},
		"TOML":          {"{{ toToml (dict `a` `x`) }}", "a = \"x\"\n", ""},
		"FromTOML":      {"{{ (fromToml `a = 1`).a }}", "1", ""},
		"FromBadTOML":   {"{{ hasKey (fromToml `a`) `Error` }}", "true", ""},
		"Lookup":        {"{{ lookup `v1` `Pod` `` `` }}", "map[]", ""},
		"Host":          {"<{{ getHostByName `example.com` }}>", "<>", ""},
		"NoEnvironment": {"{{ env `HOME` }}", "", "function \"env\" not defined"},
		"Include":       {"{{ include `hello` `you` | upper }}", "HELLO YOU", ""},
		"IncludeNone":   {"{{ include `none` . }}", "", "no template \"none\""},
		"IncludeItself": {"{{ include `loop` . }}", "", "nested reference name: loop"},
		"Tpl":           {"{{ tpl .Values.text . }}{{ tpl `plain` . }}{{ tpl .Values.text . }}", "trueplaintrue", ""},
		"TplIncludes":   {"{{ tpl `{{ include \"hello\" (tpl \"{{ 1 }}\" .) }}` . }}", "hello 1", ""},
		"TplBroken":     {"{{ tpl `{{ if }}` . }}", "", "cannot parse template"},
		"TplFails":      {"{{ tpl `{{ .a.b.c }}` . }}", "", "error during tpl function execution"},
		"Required":      {"{{ required `no` .Values.text | len }}", "21", ""},
		"NoValue":       {"<{{ .Values.none }}>", "<>", ""},
		"Get":           {"{{ .Files.Get `other.txt` }}<{{ .Files.Get `none` }}>", "other<>", ""},
		"Glob":          {"{{ range $name, $_ := .Files.Glob `conf/*` }}{{ $name }} {{ end }}", "conf/a.ini ", ""},
		"GlobDeep":      {"{{ range $name, $_ := .Files.Glob `conf/**` }}{{ $name }} {{ end }}", "conf/a.ini conf/sub/b.ini ", ""},
		"GlobBroken":    {"{{ len (.Files.Glob `[`) }}", "3", ""},
		"AsConfig":      {"{{ (.Files.Glob `conf/sub/*`).AsConfig }}", "b.ini: z", ""},
		"AsSecrets":     {"{{ (.Files.Glob `conf/sub/*`).AsSecrets }}", "b.ini: eg==", ""},
		"Lines":         {"{{ range .Files.Lines `conf/a.ini` }}<{{ . }}>{{ end }}{{ len (.Files.Lines `none`) }}", "<x=1><y=2>0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rendered(t, tc.text)
			switch {
			case tc.fails != "" && (!errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), tc.fails)):
				t.Errorf("%s renders %q, error %v, want one that says %q", tc.text, got, err, tc.fails)
			case tc.fails == "" && (err != nil || !strings.HasPrefix(got, tc.want)):
				t.Errorf("%s renders %q, error %v, want %q", tc.text, got, err, tc.want)
			}
		})
	}
}

// TestDependencies checks that a dependency sees its own values, and that of
// two definitions with the same name the one of the chart above is used.
func TestDependencies(t *testing.T) {
	t.Parallel()
	parent := of(map[string]string{"_defs": `{{ define "name" }}parent{{ end }}`, "a": `{{ include "name" . }} {{ .Values.sub.x }} {{ (index .Subcharts "sub").Values.x }}`})
	sub := of(map[string]string{"_defs": `{{ define "name" }}sub{{ end }}`, "b": `{{ include "name" . }} {{ .Values.x }} {{ .Chart.IsRoot }} {{ .Template.Name }} {{ .Template.BasePath }}`})
	sub.Metadata.Name = "sub"
	library := of(map[string]string{"c": "not applied", "_c": `{{ define "library" }}{{ end }}`})
	library.Metadata.Name, library.Metadata.Type = "lib", "library"
	parent.SetDependencies(sub, library)
	got := Chart(parent, chartutil.Values{"Values": chartutil.Values{"sub": map[string]any{"x": "1"}}})
	if len(got.Failed) > 0 || len(got.Files) != 2 {
		t.Errorf("%d files, and these failed: %v", len(got.Files), got.Failed)
	}
	for file, want := range map[string]string{
		"app/templates/a":            "parent 1 1",
		"app/charts/sub/templates/b": "parent 1 false app/charts/sub/templates/b app/charts/sub/templates",
	} {
		if got.Files[file] != want {
			t.Errorf("%s renders %q, want %q", file, got.Files[file], want)
		}
	}
	if _, ok := got.Sources["app/charts/lib/templates/_c"]; !ok {
		t.Errorf("the sources lack the library's: %d", len(got.Sources))
	}
}
