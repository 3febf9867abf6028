package main

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/chart/charttest"
	"github.com/nfo-operator/nfo/internal/chart/record"
	"github.com/nfo-operator/nfo/internal/workload"
	"github.com/nfo-operator/nfo/test/program"
)

// TestMain makes the test binary act as the program when it is started as `nfo chart`.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "chart" {
		os.Exit(run(context.Background(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

func chartReader(t *testing.T) *chart.Reader {
	t.Helper()
	var command []string // the default: this program
	if program.Racing {  // the race detector needs more memory than reading a chart may use
		dir := t.TempDir()
		if err := program.Build(dir, false, "nfo"); err != nil {
			t.Fatal(err)
		}
		command = []string{filepath.Join(dir, "nfo"), "chart"}
	}
	r, err := chart.NewReader(chart.Limits{}, 1, command...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChart(t *testing.T) {
	t.Parallel()
	r := chartReader(t)
	metadata := "{apiVersion: v2, name: app, version: 1.0.0}"
	for name, tc := range map[string]struct {
		reason, template string
		images           int
		want             error
	}{
		"Image": {"a chart that harms nobody", "{kind: Pod, spec: {containers: [{image: nginx}]}}", 1, nil},
		"Bomb":  {"one that is", `{{ repeat 4294967296 "x" }}`, 0, chart.ErrMemory},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive := charttest.Pack("app", map[string]string{"Chart.yaml": metadata, "templates/a.yaml": tc.template})
			chart, err := r.Read(t.Context(), chart.Request{Archive: archive})
			if !errors.Is(err, tc.want) || chart.Name != "app" || len(chart.Images) != tc.images {
				t.Errorf("%s: read %+v, %v", tc.reason, chart, err)
			}
		})
	}
}

func TestI14ReleaseRecords(t *testing.T) {
	t.Parallel()
	var releases workload.ReleaseReader = chartReader(t)
	text := `{"name":"upf","version":3,"hooks":[{"name":"check","manifest":"{kind: Pod, spec: {containers: [{image: r.example/upf:1}]}}"}]}`
	results, err := releases.ReadReleases(t.Context(), [][]byte{[]byte("{"), []byte(base64.StdEncoding.EncodeToString([]byte(text)))})
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	if !errors.Is(results[0].Err, record.ErrUnreadable) {
		t.Errorf("what is not a record: %v", results[0].Err)
	}
	want := record.Result{Release: record.Release{Name: "upf", Revision: 3, Images: []record.Image{{Reference: "r.example/upf:1", Hook: "check"}}}}
	if diff := cmp.Diff(want, results[1]); diff != "" {
		t.Error(diff)
	}
}

func TestChartThatIsToldNothing(t *testing.T) {
	t.Parallel()
	cmd := newChartCommand()
	if !cmd.Hidden {
		t.Error("it is shown in the help")
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"file.tgz"})
	if err := cmd.ExecuteContext(t.Context()); err == nil {
		t.Error("it takes arguments")
	}
}
