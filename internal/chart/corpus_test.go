package chart

import (
	"cmp"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/nfo-operator/nfo/internal/chart/images"
)

// corpusChart is a chart that has a construct found in public charts. A file of testdata/corpus has several charts, each in
// its folder, with a file want:
//
//	registry <values path>   the chart is read with the registry set there
//	needs <image>            an image that is needed; without a host it is one of the store. All must be listed
//	optional <image>         an image that is optional. All must be listed
//	unreadable <text>        a part of the error
//	remark <text>            a part of the remarks
type corpusChart struct {
	name    string
	request Request
	want    []string
}

// corpus returns the charts of the corpus. Charts without a Chart.yaml get one, with the appVersion 4.2.
func corpus(tb testing.TB) []corpusChart {
	tb.Helper()
	names, err := filepath.Glob("testdata/corpus/*.txtar")
	if err != nil {
		tb.Fatal(err)
	}
	var all []corpusChart
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		of := map[string]map[string][]byte{}
		for _, f := range txtar.Parse(text).Files {
			chart, file, _ := strings.Cut(f.Name, "/")
			if of[chart] == nil {
				of[chart] = map[string][]byte{}
			}
			of[chart][file] = f.Data
		}
		for chart, files := range of {
			all = append(all, corpusOf(strings.TrimSuffix(filepath.Base(name), ".txtar")+"/"+chart, files))
		}
	}
	slices.SortFunc(all, func(a, b corpusChart) int { return cmp.Compare(a.name, b.name) })
	if len(all) < 60 {
		tb.Fatalf("%d charts", len(all))
	}
	return all
}

func corpusOf(name string, files map[string][]byte) corpusChart {
	c := corpusChart{name: name}
	for line := range strings.Lines(string(files["want"])) {
		line = strings.TrimSpace(line)
		if at, ok := strings.CutPrefix(line, "registry "); ok {
			c.request.RegistryValuesPaths = append(c.request.RegistryValuesPaths, at)
		} else {
			c.want = append(c.want, line)
		}
	}
	delete(files, "want")
	folders := map[string]bool{"": true}
	for file := range files {
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			if path.Base(path.Dir(dir)) == "charts" {
				folders[dir+"/"] = true
			}
		}
	}
	for dir := range folders {
		if files[dir+"Chart.yaml"] == nil {
			files[dir+"Chart.yaml"] = []byte("apiVersion: v2\nname: " + path.Base(cmp.Or(strings.TrimSuffix(dir, "/"), name)) + "\nversion: 1.0.0\nappVersion: \"4.2\"\n")
		}
	}
	c.request.Archive = pack(files)
	return c
}

// shown returns an image reference as the API shows it.
func shown(i images.Image) string {
	s := i.Repository
	if i.Origin != images.OriginOurs {
		s = i.Host + "/" + s
	}
	if i.Tag != "" {
		s += ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest
	}
	return images.Readable(s)
}

// check compares a reading with the expectation: the images exactly, and a part of each error and remark.
func (c corpusChart) check(t *testing.T, chart Chart, err error) {
	t.Helper()
	var got, errs, want []string
	for _, i := range chart.Images {
		switch {
		case i.Host == "":
		case i.Optional():
			got = append(got, "optional "+shown(i))
		default:
			got = append(got, "needs "+shown(i))
		}
	}
	said := strings.Join(chart.Remarks, "\n")
	remarks := 0
	for _, line := range c.want {
		kind, text, _ := strings.Cut(line, " ")
		switch kind {
		case "unreadable":
			errs = append(errs, text)
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("the error is %v, want %q", err, text)
			}
		case "remark":
			remarks++
			if !strings.Contains(said, text) {
				t.Errorf("the remarks are %q, want %q", chart.Remarks, text)
			}
		default:
			want = append(want, line)
		}
	}
	if err != nil && len(errs) == 0 || remarks == 0 && said != "" {
		t.Errorf("unexpected: %v %q", err, chart.Remarks)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("images -want +got\n%s", diff)
	}
	if err != nil {
		said += err.Error()
	}
	if strings.Contains(said, images.Registry) {
		t.Errorf("the placeholder is in a message: %s", said)
	}
}

func TestCorpus(t *testing.T) {
	t.Parallel()
	r := chartReader(t, Limits{})
	for _, c := range corpus(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			chart, err := r.Read(t.Context(), c.request)
			c.check(t, chart, err)
		})
	}
}

// BenchmarkReader reports what reading charts costs: the processor time of a chart's process, and the maximum memory of
// all processes that the benchmark has started so far.
func BenchmarkReader(b *testing.B) {
	var small []Request
	for _, c := range corpus(b) {
		small = append(small, c.request)
	}
	for _, c := range []struct {
		name   string
		charts []Request
	}{{"Corpus", small}, {"Umbrella19x60", []Request{umbrella(19, 60)}}} {
		b.Run(c.name, func(b *testing.B) { benchmarkReader(b, c.charts) })
	}
}

func benchmarkReader(b *testing.B, charts []Request) {
	b.Helper()
	r, err := NewReader(Limits{}, 1, chartCommand...)
	if err != nil {
		b.Fatal(err)
	}
	before := childUsage(b)
	for b.Loop() {
		for _, q := range charts {
			if _, err := r.Read(b.Context(), q); err != nil && !AboutChart(err) {
				b.Fatal(err)
			}
		}
	}
	used := childUsage(b)
	cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N*len(charts)), "cpu-ms/chart")
	b.ReportMetric(float64(used.Maxrss)/1024, "peak-MiB")
	b.ReportMetric(0, "ns/op")
}

func childUsage(b *testing.B) syscall.Rusage {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used); err != nil {
		b.Fatal(err)
	}
	return used
}
