package chart

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/chart/render"
)

// chartSeeds returns the charts of testdata as text, because the
// fuzzer finds useful changes in text and hardly any in archives.
func chartSeeds(f *testing.F) [][]byte {
	f.Helper()
	names, err := filepath.Glob("testdata/charts/*.txtar")
	if err != nil || len(names) == 0 {
		f.Fatalf("no charts: %v", err)
	}
	var seeds [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, text)
	}
	return seeds
}

// readUnrendered makes a reading up to the first rendering.
func readUnrendered(q Request) *chartReading {
	r := &chartReading{request: q, tell: func(chartAnswer) error { return nil }}
	r.load()
	return r
}

// FuzzChart unpacks and loads arbitrary bytes: as an archive, or as the files of one.
func FuzzChart(f *testing.F) {
	for _, seed := range chartSeeds(f) {
		f.Add(seed)
		f.Add(parseChartCase(seed).request.Archive)
	}
	f.Add(nested(maxPackedDepth + 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		q := Request{Archive: data, RegistryValuesPaths: []string{"global.registry"}, ImagePullSecretsValuesPaths: []string{"global.secrets"}}
		if !bytes.HasPrefix(data, []byte("\x1f\x8b")) {
			files := map[string][]byte{}
			for _, file := range txtar.Parse(data).Files {
				files[file.Name] = file.Data
			}
			if q.Archive = tryPack(files); q.Archive == nil {
				t.Skip("names that no archive takes")
			}
		}
		checkBounds(t, readUnrendered(q))
	})
}

func tryPack(files map[string][]byte) (archive []byte) {
	defer func() { _ = recover() }()
	return pack(files)
}

// FuzzRequest sets arbitrary values paths in a chart, and reads arbitrary text as a rendered chart.
func FuzzRequest(f *testing.F) {
	for _, seed := range chartSeeds(f) {
		c := parseChartCase(seed)
		for _, file := range c.file.Files {
			if filepath.Dir(file.Name) == "templates" || file.Name == "values.yaml" {
				f.Add(append(c.request.RegistryValuesPaths, "image.registry")[0], file.Data)
			}
		}
	}
	archive := pack(map[string][]byte{
		"Chart.yaml":           []byte("{apiVersion: v2, name: app, version: 1.0.0, dependencies: [{name: db, version: 1.0.0, condition: db.enabled}]}"),
		"values.yaml":          []byte("{global: {registry: x}, image: {repository: y}, db: {enabled: false}, list: [{host: z}]}"),
		"charts/db/Chart.yaml": []byte("{apiVersion: v2, name: db, version: 1.0.0}"),
	})
	f.Fuzz(func(t *testing.T, path string, rendered []byte) {
		if len(path) > 253 {
			t.Skip("the API server takes none that long")
		}
		r := readUnrendered(Request{Archive: archive, RegistryValuesPaths: []string{path}, ImagePullSecretsValuesPaths: []string{path}})
		found, problems := images.Find(render.Rendering{Files: map[string]string{"app/templates/a.yaml": string(rendered)}})
		for _, p := range problems {
			r.problem(p.Err)
		}
		for _, err := range append(r.images.Need(found, images.Registry, nil), r.images.AddOptional(found, "", nil)...) {
			r.problem(err)
		}
		checkBounds(t, r)
	})
}

// checkBounds checks the bounds that hold for every chart.
func checkBounds(t *testing.T, r *chartReading) {
	t.Helper()
	all, err := r.images.List()
	if err != nil {
		r.problem(err)
	}
	sources := 0
	for _, image := range all {
		sources += len(image.Sources)
		if len(image.Reference) > images.MaxReference || len(image.Sources) == 0 || image.Origin == "" {
			t.Errorf("%+v", image)
		}
		if (image.Host == "") != (image.Repository == "") {
			t.Errorf("half a reference: %+v", image)
		}
	}
	if sources > 2*images.MaxSources {
		t.Errorf("%d sources", sources)
	}
	for _, p := range r.answer.Problems {
		if len(p.Text) > images.MaxText || chartClasses[p.Class] == nil {
			t.Errorf("%d bytes of class %q", len(p.Text), p.Class)
		}
	}
	if len(r.answer.Problems) > maxProblems || len(r.answer.Chart.Dependencies) > maxDependencies {
		t.Error("too much is sent")
	}
}

// FuzzText finds images in arbitrary text: each must be a reference to the registry that the text contains.
func FuzzText(f *testing.F) {
	for _, text := range []string{"a:1", "acme/b@sha256:0123456789012345678901234567890123456789012345678901234567890123", ":5000/a/b:1", "a$(X)", "//", "/a/:1", "acme/x.:1."} {
		f.Add("x="+images.Registry+"/"+text, "docker://"+images.Registry+text)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + images.Registry + after
		for _, image := range images.InText(text) {
			parts, err := images.ParseImage(image)
			if err != nil || parts.Host != images.Registry || !strings.Contains(text, parts.Repository) || !strings.Contains(text, parts.Tag) || !strings.Contains(text, parts.Digest) {
				t.Errorf("%q of %q: %v", image, text, err)
			}
		}
		if strings.Contains(images.Readable(text), images.Registry) {
			t.Errorf("%q is not readable", text)
		}
	})
}

// FuzzReader reads charts with arbitrary templates and values as the manager does, each in a separate process.
func FuzzReader(f *testing.F) {
	for _, c := range corpus(f) {
		files, err := unpackChart(c.request.Archive)
		if err != nil {
			f.Fatal(err)
		}
		var template, values []byte
		for _, file := range files {
			switch {
			case strings.HasPrefix(file.Name, "templates/"):
				template = file.Data
			case file.Name == "values.yaml":
				values = file.Data
			}
		}
		f.Add(string(template), string(values), append(c.request.RegistryValuesPaths, "global.registry")[0])
	}
	r, err := NewReader(Limits{CPU: time.Second, Memory: LeastMemory}, 2, chartCommand...)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, template, values, path string) {
		if len(path) > 253 {
			t.Skip("the API server takes none that long")
		}
		q := Request{RegistryValuesPaths: []string{path}, Archive: pack(map[string][]byte{
			"Chart.yaml":  []byte("{apiVersion: v2, name: app, version: 1.0.0, dependencies: [{name: spare, version: 1.0.0, condition: spare.enabled}]}"),
			"values.yaml": []byte(values), "templates/a.yaml": []byte(template), "templates/b.yaml": []byte("{kind: Pod, spec: {containers: [{image: example.com/b:1}]}}"),
			"charts/spare/Chart.yaml": []byte("{apiVersion: v2, name: spare, version: 1.0.0}"), "charts/spare/templates/a.yaml": []byte(template),
		})}
		chart, err := r.Read(t.Context(), q)
		if err != nil && !AboutChart(err) || errors.Is(err, ErrCrashed) && !strings.Contains(err.Error(), "stack exceeds") {
			t.Errorf("the error is %v", err)
		}
		checkAnswer(t, chart, err)
	})
}

// checkAnswer checks what holds for the result of every chart.
func checkAnswer(t *testing.T, chart Chart, err error) {
	t.Helper()
	said := fmt.Sprint(chart.Remarks, err)
	needed := err != nil // a failure may hide the image
	for _, i := range chart.Images {
		needed = needed || shown(i) == "example.com/b:1" && !i.Optional()
		deployed := slices.ContainsFunc(i.Sources, func(s images.Source) bool { return s.Why == images.WhyDeployed })
		if len(i.Sources) == 0 || i.Sources[0].Why != i.Why || deployed == i.Optional() || len(i.Sources[0].String()) > images.MaxPlace {
			t.Errorf("%+v", i)
		}
		said += i.Sources[0].String()
	}
	if !needed {
		t.Errorf("the image of the other template is missing: %+v", chart.Images)
	}
	if strings.Contains(said, images.Registry) {
		t.Errorf("the placeholder is in a message: %s", said)
	}
}
