package chart

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/test/program"
)

// umbrella returns a chart with this many subcharts, each with this many
// templates, which all share helpers. The largest public charts have this shape.
func umbrella(subcharts, templates int) Request {
	files := map[string][]byte{
		"Chart.yaml": []byte(plainChart), "values.yaml": []byte("global: {registry: docker.io}\n"),
		"templates/_helpers.tpl": []byte(`{{ define "app.image" }}{{ .Values.global.registry }}/acme/{{ .Chart.Name }}:{{ .Chart.Version }}{{ end }}
{{ define "app.labels" }}{{ range until 20 }}
    l{{ . }}: {{ printf "%d-%s" . $.Chart.Name | trunc 63 | quote }}{{ end }}{{ end }}`),
	}
	for s := range subcharts {
		dir := fmt.Sprintf("charts/part%d/", s)
		files[dir+"Chart.yaml"] = []byte(fmt.Sprintf("apiVersion: v2\nname: part%d\nversion: 1.0.%d\n", s, s))
		for f := range templates {
			files[fmt.Sprintf("%stemplates/t%d.yaml", dir, f)] = []byte(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: t%d
  labels:{{ include "app.labels" . }}
spec: {template: {spec: {containers: [{name: c, image: "{{ include "app.image" . }}"}]}}}
`, f))
		}
	}
	return Request{Archive: pack(files), RegistryValuesPaths: []string{"global.registry"}}
}

// The same bytes give the same result, however busy the machine is.
func TestSameAnswerUnderLoad(t *testing.T) {
	t.Parallel()
	requests := map[string]Request{"umbrella": umbrella(10, 10)}
	for _, c := range corpus(t) {
		if c.name == "f03-off/conflict" || c.name == "f08-failing/several" {
			requests[c.name] = c.request
		}
	}
	r := chartReader(t, Limits{})
	quiet := map[string]string{}
	for name, q := range requests {
		quiet[name] = describe(r.Read(t.Context(), q))
	}
	stop := make(chan struct{})
	defer close(stop)
	for range 4 * runtime.NumCPU() {
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					_ = strings.Repeat("x", n%1000)
				}
			}
		}()
	}
	for name, q := range requests {
		for i := range 20 {
			if diff := cmp.Diff(quiet[name], describe(r.Read(t.Context(), q))); diff != "" {
				t.Fatalf("%s, reading %d:\n-quiet +under load\n%s", name, i, diff)
			}
		}
	}
	if !strings.Contains(quiet["umbrella"], "acme/part9:1.0.9") || strings.Contains(quiet["umbrella"], "\nerror ") {
		t.Errorf("the umbrella chart is not read:\n%s", quiet["umbrella"])
	}
}

// Only the cost of a chart decides whether it is read, and greater limits allow charts that smaller ones do not.
func TestLimitsScale(t *testing.T) {
	t.Parallel()
	const pod = "\n{kind: Pod, spec: {containers: [{image: example.com/a:1}]}}"
	for name, tc := range map[string]struct {
		reason, template string
		less             Limits
		want             error
	}{
		"CPU":    {"some seconds of a processor", `{{ range until 2000 }}{{ range until 1500 }}{{ if eq . -1 }}{{ end }}{{ end }}{{ end }}` + pod, Limits{CPU: time.Second}, ErrTimeout},
		"Memory": {"100 MB at a time", `{{ $a := repeat 50000000 "x" }}{{ $b := repeat 50000000 "y" }}{{ range until 200 }}{{ $c := repeat 1000000 "z" }}{{ end }}{{ len $a }}{{ len $b | printf "#%d" | trunc 0 }}` + "\n---" + pod, Limits{Memory: LeastMemory}, ErrMemory},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := Request{Archive: chartWith("#" + tc.template)}
			chart, err := chartReader(t, tc.less).Read(t.Context(), q)
			if !errors.Is(err, tc.want) || !chart.Limited {
				t.Errorf("%s, with less: %v, limited: %t", tc.reason, err, chart.Limited)
			}
			chart, err = chartReader(t, Limits{CPU: time.Minute}).Read(t.Context(), q)
			if err != nil || len(chart.Images) != 1 || chart.Limited {
				t.Errorf("%s, with more: %+v, %v", tc.reason, chart.Images, err)
			}
		})
	}
}

// A process that was stopped for longer than its limit of processor time continues to read when it is resumed.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	if program.Racing {
		t.Skip("the race detector alone needs more memory than a chart may take")
	}
	r := misbehave(t, "stop", Limits{})
	chart, err := r.Read(t.Context(), Request{Archive: chartWith("{kind: Pod, spec: {containers: [{image: nginx}]}}")})
	if err != nil || len(chart.Images) != 1 {
		t.Errorf("%+v, %v", chart, err)
	}
}

// stopped starts `nfo chart` in a stopped state for three times
// its limit of processor time, and then runs it to its end.
func stopped() int {
	cmd := exec.Command("/proc/self/exe", "chart", "--cpu=1s", "--memory=402653184")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 1
	}
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := cmd.Process.Signal(signal); err != nil {
			return 1
		}
		if signal == syscall.SIGSTOP {
			<-time.After(3 * time.Second)
		}
	}
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}

// Each chart is loaded once for each stage. A stage that would render the same as another one is left out.
func TestStages(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, dependency string
		want               int
	}{
		"Always": {"a dependency without a condition is always there", "{name: db, version: 1.0.0}", 1},
		"On":     {"it is switched on by default", "{name: db, version: 1.0.0, condition: \"on\"}", 1},
		"Off":    {"what it names is optional", "{name: db, version: 1.0.0, condition: spare}", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reported := 0
			q := Request{RegistryValuesPaths: []string{"registry"}, Archive: pack(map[string][]byte{
				"Chart.yaml": []byte(plainChart + "dependencies: [" + tc.dependency + "]\n"), "values.yaml": []byte("{\"on\": true, spare: false}"),
				"charts/db/Chart.yaml": []byte("apiVersion: v2\nname: db\nversion: 1.0.0\n"),
			})}
			if err := readChart(q, func(chartAnswer) error { reported++; return nil }); err != nil {
				t.Fatal(err)
			}
			if stages := reported - 1; stages != tc.want { // one answer is sent before each stage, and one at the end
				t.Errorf("%s: %d stages", tc.reason, stages)
			}
		})
	}
}
