package chart

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/chart/render"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chartutil"
	helmengine "helm.sh/helm/v3/pkg/engine"
)

// prepared returns a chart as it is deployed, and the values
// to render it with. It is nil if Helm cannot load the chart.
func prepared(t *testing.T, q Request) (*chartStage, chartutil.Values) {
	t.Helper()
	files, err := unpackChart(q.Archive)
	if err != nil {
		return nil, nil
	}
	c, err := loadChart(files)
	if err != nil {
		return nil, nil
	}
	values, _ := setValues(q)
	s, err := deploy(c, values, false)
	if err != nil {
		return nil, nil
	}
	release := chartutil.ReleaseOptions{Name: "release-name", Namespace: "default", Revision: 1, IsInstall: true}
	top, err := chartutil.ToRenderValuesWithSchemaValidation(s.chart, s.values, release, capabilities(), true)
	if err != nil {
		t.Fatal(err)
	}
	return &s, top
}

// hostile are the charts that only a separate process may render.
var hostile = map[string]bool{
	"crash": true, "deep": true, "doubling": true, "exponential": true, "laughs": true, "loop": true,
	"optional-bomb": true, "repeat": true, "recursion": true, "until": true, "output": true, "random-name": true,
}

// This package renders the same text as Helm, and reports what Helm refuses in Helm's words.
func TestRendersAsHelm(t *testing.T) {
	t.Parallel()
	requests := map[string]Request{"functions": {Archive: pack(map[string][]byte{
		"Chart.yaml": []byte(plainChart), "templates/a.yaml": []byte(everyFunction), "conf/a.txt": []byte("one\ntwo\n"), "conf/b.bin": {0, 1},
		"templates/_h.tpl": []byte(`{{ define "app.x" }}{{ .Chart.Name }}-{{ .Template.Name }}{{ end }}`),
	})}}
	names, err := filepath.Glob("testdata/charts/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		requests[strings.TrimSuffix(filepath.Base(name), ".txtar")] = parseChartCase(text).request
	}
	for _, c := range corpus(t) {
		requests["corpus/"+c.name] = c.request
	}
	compared := 0
	for name, q := range requests {
		if hostile[name] {
			continue
		}
		s, top := prepared(t, q)
		if s == nil {
			continue
		}
		again, topAgain := prepared(t, q)
		got := render.Chart(again.chart, topAgain)
		want, err := helmengine.Engine{}.Render(s.chart, top)
		if err != nil {
			if len(got.Failed) == 0 && !strings.Contains(err.Error(), render.NotesSuffix) {
				t.Errorf("%s: Helm says %v, and nothing failed", name, err)
			}
			continue
		}
		compared++
		for file := range want {
			if strings.HasSuffix(file, render.NotesSuffix) {
				delete(want, file)
			}
		}
		if diff := cmp.Diff(want, got.Files); diff != "" || len(got.Failed) > 0 {
			t.Errorf("%s: %v\n-Helm +ours\n%s", name, got.Failed, diff)
		}
	}
	if compared < 60 {
		t.Errorf("%d charts compared", compared)
	}
}

// everyFunction calls the functions that Helm adds to those of sprig.
const everyFunction = `a: {{ toYaml (dict "b" (list 1 "2" nil)) | quote }}
p: {{ toYamlPretty (dict "b" (list 1 "2")) | quote }}
j: {{ toJson (dict "b" (list 1.5 true)) | quote }}
t: {{ toToml (dict "b" (dict "c" 1)) | quote }}
fy: {{ fromYaml "a: 1" }} {{ fromYaml "[" }}
fa: {{ fromYamlArray "[1, a]" }} {{ fromYamlArray "{" }}
fj: {{ fromJson "{\"a\": 1}" }} {{ fromJson "[" }}
fl: {{ fromJsonArray "[1]" }} {{ fromJsonArray "{" }}
ft: {{ fromToml "a = 1" }} {{ fromToml "[" }}
l: {{ lookup "v1" "Pod" "" "" }} {{ getHostByName "localhost" }}
i: {{ include "app.x" . }} {{ tpl "{{ include \"app.x\" . }} {{ .Values.none }}" . }}
u: {{ tpl "plain }} <no value>" . }} {{ tpl "" . | quote }} {{ range list 1 2 1 }}{{ tpl "{{ . }}{{ tpl \"{{ . }}\" . }}" . }}{{ end }}
d: {{ tpl "{{ define \"app.y\" }}y{{ . }}{{ end }}{{ include \"app.y\" 1 }}{{ tpl \"\" . }}{{ tpl \"{{/* */}}\" . }}" . }} {{ tpl "{{ define \"app.x\" }}other{{ end }}{{ include \"app.x\" . }}" . }} {{ include "app.x" . }}
r: {{ required "none" "x" }} {{ .Values.nothing }} {{ .Release.Name }} {{ .Capabilities.KubeVersion }}
f: {{ .Files.Get "conf/a.txt" | quote }} {{ .Files.Get "none" | quote }} {{ .Files.GetBytes "conf/b.bin" }} {{ .Files.Lines "conf/a.txt" }} {{ .Files.Lines "none" }}
g: {{ (.Files.Glob "conf/*").AsConfig | quote }} {{ (.Files.Glob "conf/*").AsSecrets | quote }} {{ len (.Files.Glob "[") }}
c: {{ .Chart.IsRoot }} {{ .Chart.Version }} {{ .Subcharts }} {{ .Template.BasePath }} {{ hasKey .Capabilities "x" }}
`

func TestRefusalsAreInHelmsWords(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, template, says string }{
		"Fail":     {"called at once", `{{ fail "no" }}`, "no"},
		"Required": {"through another template", `{{ include "x" . }}`, "give it"},
		"Tpl":      {"in a text", `{{ tpl "{{ fail \"never\" }}" . }}`, "never"},
		"Parse":    {"it cannot be parsed", `{{ if }}`, "missing value for if"},
		"Nil":      {"the error of the template language", `{{ .Values.a.b.c }}`, "nil pointer evaluating interface {}.c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := Request{Archive: pack(map[string][]byte{
				"Chart.yaml": []byte(plainChart), "templates/a.yaml": []byte(tc.template), "values.yaml": []byte("a: {}"),
				"templates/_h.tpl": []byte(`{{ define "x" }}{{ required "give it" .Values.none }}{{ end }}`),
			})}
			s, top := prepared(t, q)
			_, helm := helmengine.Engine{}.Render(s.chart, top)
			got := render.Chart(s.chart, top).Failed["app/templates/a.yaml"]
			if !errors.Is(got, ErrRender) || helm == nil || !strings.Contains(got.Error(), tc.says) {
				t.Fatalf("%s: %v, and Helm says %v", tc.reason, got, helm)
			}
			if want := fmt.Sprintf("%s: %s", ErrRender, helm); got.Error() != want && name != "Nil" {
				t.Errorf("%s: %s\nwant %s", tc.reason, got, want)
			}
		})
	}
}
