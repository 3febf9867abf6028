package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindMetrics(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, "internal/controller/metrics.go", `package controller
func storeMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nfo_"+name, help, append([]string{"namespace", "store"}, labels...), nil)
}
var used = storeMetric("store_used_bytes", "Bytes used.")
var outcome = storeMetric("purge_last_outcome", "1 for how " + "it ended.", "outcome")
var notOne = other("nfo_is_a_name", variable)
`)
	write(t, root, "internal/controller/metrics_test.go", `package controller
var used = prometheus.NewDesc("nfo_of_a_test", "Of a test.", nil, nil)
`)
	write(t, root, "internal/agent/files/keep.go", `package files
var requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nfo_agent_requests_total", Help: "Requests."}, []string{"source"})
var waits = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "nfo_agent_waits", Help: "Waits."})
`)
	write(t, root, "internal/clusterregistry/serve/metrics.go", `package serve
var now = prometheus.NewDesc("nfo_registry_requests", "Requests.", nil, nil)
var full = counter("nfo_registry_refused_total", "Refused.")
`)
	write(t, root, "internal/agents/metrics.go", `package agents
var now = prometheus.NewDesc("nfo_agents", "Agents.", nil, nil)
`)
	write(t, root, "internal/journal/metrics.go", `package journal
const (
	labelStore = "store"
	labelCause = "cause"
	labelLane  = "lane"
)
var buckets = []float64{1, 2}
func newMetrics() {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	ofStore := func(name, help string, labels ...string) *prometheus.CounterVec {
		return counter(name, help, append([]string{"namespace", labelStore}, labels...)...)
	}
	histogram := func(name, help, label string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
	}
	counter("nfo_refusals_total", "Refusals.", labelCause, "kind")
	ofStore("nfo_releases_total", "Releases.", labelCause)
	histogram("nfo_wait_seconds", "Waits.", labelLane, buckets)
}
`)
	if err := os.Mkdir(filepath.Join(root, "cmd"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := findMetrics(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []metric{
		{"nfo_agent_requests_total", "counter", "Requests.", "nfo agent", []string{"source"}},
		{"nfo_agent_waits", "histogram", "Waits.", "nfo agent", nil},
		{"nfo_agents", "gauge", "Agents.", "nfo manager", nil},
		{"nfo_purge_last_outcome", "gauge", "1 for how it ended.", "nfo manager", []string{"namespace", "store", "outcome"}},
		{"nfo_refusals_total", "counter", "Refusals.", "nfo manager", []string{"cause", "kind"}},
		{"nfo_releases_total", "counter", "Releases.", "nfo manager", []string{"namespace", "store", "cause"}},
		{"nfo_store_used_bytes", "gauge", "Bytes used.", "nfo manager", []string{"namespace", "store"}},
		{"nfo_wait_seconds", "histogram", "Waits.", "nfo manager", []string{"lane"}},
		{"nfo_registry_refused_total", "counter", "Refused.", "nfo registry", nil},
		{"nfo_registry_requests", "gauge", "Requests.", "nfo registry", nil},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(metric{})); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestFindAlerts(t *testing.T) {
	t.Parallel()
	got, err := findAlerts([]byte(`kind: Deployment
spec: {groups: [{rules: [{alert: NotOne}]}]}
---
---
- not an object
---
kind: PrometheusRule
spec:
  groups:
  - rules:
    - {alert: A, expr: x > 1, for: 5m, labels: {severity: warning}, annotations: {summary: Do it.}}
    - {alert: B, expr: y}
`))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, a := range got {
		names = append(names, a.Alert)
	}
	if !slices.Equal(names, []string{"A", "B"}) {
		t.Errorf("the alerts are %v", names)
	}
	page := string(metricsPage([]metric{{name: "nfo_x", kind: "gauge", help: "a | b", command: "nfo manager"}}, got))
	for _, want := range []string{"## Metrics of `nfo manager`\n", "| `nfo_x` | gauge |  | a \\| b |\n", "### A\n\nSeverity warning, after 5m.\n\n```promql\nx > 1\n```\n\nDo it.\n", "### B\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
}

func TestChartThatIsNoYAMLIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := findAlerts([]byte("a: [")); err == nil {
		t.Error("alerts were found in what is not YAML")
	}
	if err := generate(t.TempDir(), strings.NewReader("")); err == nil {
		t.Error("pages were made of an empty folder")
	}
}

// The page of a kind has the fields of the kind and of the types that it uses, and no other kind's.
func TestKindsHaveTheirTypes(t *testing.T) {
	t.Parallel()
	pages := t.TempDir()
	write(t, pages, "gone.md", "of a kind that was")
	if err := writeKinds("testdata/api", pages); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(pages, "*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v: %v", names, err)
	}
	got, err := os.ReadFile(filepath.Join(pages, "box.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Box\n", "`apiVersion: example.com/v1`", "Box holds things.", "## BoxSpec\n", "a box has a lid", "`Open`", "## Lid\n", "Whether it is open.", "required"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the page has no %q:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "Bag") {
		t.Errorf("the page has another kind:\n%s", got)
	}
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
