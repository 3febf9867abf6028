package render

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// of returns a chart with templates, given by their names under templates/.
func of(templates map[string]string) *helmchart.Chart {
	c := &helmchart.Chart{Metadata: &helmchart.Metadata{Name: "app", Version: "1.0.0"}}
	for name, text := range templates {
		c.Templates = append(c.Templates, &helmchart.File{Name: "templates/" + name, Data: []byte(text)})
	}
	return c
}

func TestEachFileByItself(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason    string
		templates map[string]string
		want      map[string]string // by file, of the files that render something
		failed    []string
		is        error
	}{
		"Good":     {"no file fails", map[string]string{"a": "{{ .Chart.Name }}", "_b": "x", "NOTES.txt": "{{ fail `no` }}"}, map[string]string{"a": "app"}, nil, nil},
		"Parse":    {"a file cannot be parsed", map[string]string{"a": "{{ if }}", "b": "b"}, map[string]string{"b": "b"}, []string{"a"}, ErrFailed},
		"Nil":      {"what is whole of a file counts", map[string]string{"a": "x: 1\n---\ny: {{ .Values.a.b.c }}", "b": "b"}, map[string]string{"a": "x: 1", "b": "b"}, []string{"a"}, ErrFailed},
		"Required": {"the rest of a file that refuses counts", map[string]string{"a": "x: {{ required `no` .Values.x }}1"}, map[string]string{"a": "x: 1"}, []string{"a"}, ErrRefused},
		"Both":     {"what is wrong besides counts more", map[string]string{"a": "{{ fail `no` }}\n---\n{{ .Values.a.b.c }}"}, map[string]string{"a": ""}, []string{"a"}, ErrFailed},
		"Large":    {"a file that is too large leaves room for others", map[string]string{"z": "{{ repeat 17000000 `x` }}", "a": "a"}, map[string]string{"a": "a", "z": ""}, []string{"z"}, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Chart(of(tc.templates), chartutil.Values{"Values": chartutil.Values{}})
			files := map[string]string{}
			for file, text := range got.Files {
				files[strings.TrimPrefix(file, "app/templates/")] = text
			}
			if diff := cmp.Diff(tc.want, files); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
			failed := slices.Sorted(maps.Keys(got.Failed))
			for i := range failed {
				if err := got.Failed[failed[i]]; !errors.Is(err, tc.is) || errors.Is(err, ErrRefused) != (name == "Required") {
					t.Errorf("%s: %v", tc.reason, err)
				}
				failed[i] = strings.TrimPrefix(failed[i], "app/templates/")
			}
			if diff := cmp.Diff(tc.failed, failed); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}
