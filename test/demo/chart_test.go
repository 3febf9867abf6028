package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	chartDir = "chart/upf"
	samples  = "../../config/samples"
)

func TestPackChart(t *testing.T) {
	t.Parallel()
	c, err := packChart(os.DirFS(chartDir))
	if err != nil {
		t.Fatal(err)
	}
	if c.name != "upf" || c.version != "1.0.0" || !json.Valid(c.metadata) {
		t.Errorf("packChart: %s:%s with metadata %s, want upf:1.0.0", c.name, c.version, c.metadata)
	}
	again, err := packChart(os.DirFS(chartDir))
	if err != nil || !bytes.Equal(c.archive, again.archive) {
		t.Errorf("packed again, the archive is another one (error: %v)", err)
	}
	names := unpack(t, c.archive)
	if got := names[0]; got != "upf/Chart.yaml" {
		t.Errorf("the archive begins with %s, want upf/Chart.yaml", got)
	}
	for i, name := range names {
		names[i] = strings.TrimPrefix(name, "upf/")
	}
	slices.Sort(names)
	var want []string
	err = fs.WalkDir(os.DirFS(chartDir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			want = append(want, name)
		}
		return err
	})
	slices.Sort(want)
	if diff := cmp.Diff(want, names); err != nil || diff != "" {
		t.Errorf("files of the archive, -want +got: %s (error: %v)", diff, err)
	}
}

func TestPackChartRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		files  fstest.MapFS
	}{
		"NoChart":   {"a directory without Chart.yaml is not a chart", fstest.MapFS{"values.yaml": {}}},
		"NoVersion": {"Helm finds a chart by name and version", fstest.MapFS{"Chart.yaml": {Data: []byte("name: a\n")}}},
		"NoYAML":    {"a description that cannot be read", fstest.MapFS{"Chart.yaml": {Data: []byte("{")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := packChart(tc.files); err == nil {
				t.Errorf("%s: got no error", tc.reason)
			}
		})
	}
}

// TestChartRenders stands in for Helm: it checks that the chart and its subchart
// render to YAML, and that their images are those of the sample manifest.
func TestChartRenders(t *testing.T) {
	t.Parallel()
	text := renderChart(t, chartDir, "upf", nil) + "\n---\n" + renderChart(t, chartDir+"/charts/exporter", "exporter", nil)
	for _, document := range strings.Split(text, "\n---\n") {
		data, err := yaml.ToJSON([]byte(document))
		var object struct{ APIVersion, Kind string }
		if err = errors.Join(err, json.Unmarshal(data, &object)); err != nil || object.Kind == "" || object.APIVersion == "" {
			t.Errorf("%v in:\n%s", err, document)
		}
	}
	var got, want []string
	for _, m := range regexp.MustCompile(`image: "registry\.example\.com/acme/upf-1\.0\.0/(.+)"`).FindAllStringSubmatch(text, -1) {
		got = append(got, m[1])
	}
	for _, a := range sampleManifest(t).Spec.Artifacts {
		if a.ArtifactName != "upf" && a.ArtifactName != "nf-template" {
			want = append(want, a.ArtifactName+":"+a.ArtifactVersion)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images of the chart, -want +got: %s", diff)
	}
}

// TestStoryPushesTheSample compares the story's commands with the manifest that it applies.
func TestStoryPushesTheSample(t *testing.T) {
	t.Parallel()
	var commands strings.Builder
	for _, c := range chapters {
		for _, s := range c.Steps {
			commands.WriteString(s.Command + "\n")
		}
	}
	for _, a := range sampleManifest(t).Spec.Artifacts {
		if name := a.ArtifactName + ":" + a.ArtifactVersion; !strings.Contains(commands.String(), name) {
			t.Errorf("the story never pushes %s", name)
		}
	}
}

func sampleManifest(t *testing.T) v1alpha1.ArtifactManifest {
	t.Helper()
	data, err := os.ReadFile(path.Join(samples, "02-manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var m v1alpha1.ArtifactManifest
	if err := yaml.UnmarshalStrict(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func unpack(t *testing.T, archive []byte) []string {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for files := tar.NewReader(plain); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}

// renderChart renders a chart's templates as Helm does, with those of Helm's functions that the chart uses.
func renderChart(t *testing.T, dir, name string, pullSecrets []any) string {
	t.Helper()
	var values map[string]any
	data, err := os.ReadFile(path.Join(dir, "values.yaml"))
	if err = errors.Join(err, yaml.Unmarshal(data, &values)); err != nil {
		t.Fatal(err)
	}
	values["global"] = map[string]any{"registry": "registry.example.com/acme/upf-1.0.0", "imagePullSecrets": pullSecrets}
	all := template.New(name).Option("missingkey=error")
	all.Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var b strings.Builder
			err := all.ExecuteTemplate(&b, name, data)
			return b.String(), err
		},
		"required": func(message string, value any) (any, error) {
			if value == "" {
				return nil, errors.New(message)
			}
			return value, nil
		},
		"list":  func(vs ...any) []any { return vs },
		"quote": func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"nindent": func(n int, s string) string {
			return "\n" + strings.Repeat(" ", n) + strings.ReplaceAll(s, "\n", "\n"+strings.Repeat(" ", n))
		},
		"trunc":      func(n int, s string) string { return s[:min(n, len(s))] },
		"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"toYaml": func(v any) (string, error) {
			data, err := json.Marshal(v) // JSON is YAML
			return string(data), err
		},
	})
	if _, err := all.ParseFS(os.DirFS(dir), "templates/*"); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, tmpl := range all.Templates() {
		if !strings.HasSuffix(tmpl.Name(), ".yaml") {
			continue
		}
		var b strings.Builder
		top := map[string]any{"Values": values, "Chart": map[string]any{"Name": name}, "Release": map[string]any{"Name": "demo"}}
		if err := tmpl.Execute(&b, top); err != nil {
			t.Fatal(err)
		}
		out = append(out, b.String())
	}
	return strings.Join(out, "\n---\n")
}

func TestChartNamesPullSecrets(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{chartDir, chartDir + "/charts/exporter"} {
		text := renderChart(t, dir, path.Base(dir), []any{map[string]any{"name": "acme-pull"}})
		if pods, named := strings.Count(text, "containers:\n"), strings.Count(text, `[{"name":"acme-pull"}]`); pods == 0 || named != pods {
			t.Errorf("%s: %d of %d pods name the secret:\n%s", dir, named, pods, text)
		}
	}
}
