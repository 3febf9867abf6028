package chart

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/chart/images"
)

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := errors.Join(write(w, data), w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func chartWith(template string) []byte {
	return pack(map[string][]byte{"Chart.yaml": []byte(plainChart), "templates/a.yaml": []byte(template)})
}

// misbehave returns a Reader with a faulty child; see TestMain.
func misbehave(t *testing.T, how string, limits Limits) *Reader {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(limits, 1, self, "misbehave", how)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChildrenThatMisbehave(t *testing.T) {
	t.Parallel()
	read, err := json.Marshal(chartAnswer{Chart: Chart{Name: "app"}, Read: true, Unread: "with all"})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		reason, how string
		want        error
		says        string
	}{
		"Hang":       {"it gets no processor time, which is not about the chart; what it started ends too", "hang", ErrStalled, "The node is too busy"},
		"Overtime":   {"it uses up its processor time", "burn", ErrTimeout, "more than 1s"},
		"Full":       {"more live data than it may have", "full", ErrMemory, "more than 192 MiB of data"},
		"Short":      {"the machine gave it less than its limit", "short", ErrStalled, "short of memory"},
		"NoMemory":   {"it wanted more than its limit", "out", ErrMemory, "more than 192 MiB of data"},
		"NoThread":   {"the machine gave it no thread", "thread", ErrStalled, "newosproc"},
		"Silent":     {"it ends and has said nothing", "exit", ErrCrashed, "ended early"},
		"Panic":      {"Go's own message, first line", "panic", ErrCrashed, "exit status 2: panic: on purpose"},
		"Killed":     {"by the kernel, where memory is short for all", "kill", ErrStalled, "killed"},
		"Abort":      {"by another signal", "abort", ErrCrashed, ""},
		"Ended":      {"by anyone who ends the container", "term", ErrStalled, "terminated"},
		"Flood":      {"more than is read", "flood", ErrTooLarge, "8388608 bytes"},
		"Garbage":    {"no JSON", "garbage", ErrCrashed, ""},
		"Unknown":    {"a class of a newer program", `{"Done":true,"Problems":[{"Class":"New"}]}`, ErrCrashed, "unknown answer"},
		"Unconfined": {"it could not limit itself: not about the chart", "fail", nil, "starting the process"},
		"ReadBefore": {"what is needed had been read", string(read), nil, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := Limits{CPU: time.Minute}
			if tc.how == "burn" {
				limits.CPU = time.Second
			}
			r := misbehave(t, tc.how, limits)
			if tc.how == "hang" {
				r.stalled = time.Second
			}
			chart, err := r.Read(t.Context(), Request{Archive: []byte("x")})
			if about := AboutChart(err); about != (tc.want != nil && !errors.Is(tc.want, ErrStalled)) {
				t.Errorf("%s: about the chart: %t", tc.reason, about)
			}
			if tc.want != nil && !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) || err == nil && tc.says != "" {
				t.Errorf("%s: the error is %v, want %v: %s", tc.reason, err, tc.want, tc.says)
			}
			for _, is := range []error{ErrNotChart, ErrTooLarge, ErrRender, images.ErrImage, ErrTimeout, ErrMemory, ErrCrashed, ErrStalled} {
				if errors.Is(err, is) && !errors.Is(tc.want, is) {
					t.Errorf("%s: the error is also %v", tc.reason, is)
				}
			}
			if name == "ReadBefore" && (chart.Name != "app" || len(chart.Remarks) != 1 || !strings.HasPrefix(chart.Remarks[0], "with all: ")) {
				t.Errorf("%s: %+v", tc.reason, chart)
			}
		})
	}
}

func TestChildIsConfined(t *testing.T) {
	t.Setenv("NFO_SECRET", "x")
	here, err := os.Open(".") // stays open; the child must not get it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = here.Close() })
	chart, err := misbehave(t, "confined", Limits{}).Read(t.Context(), Request{Archive: []byte("x")})
	if err != nil || chart.Name != "confined" {
		t.Errorf("the child says %q, %v", chart.Name, err)
	}
}

func TestReadWaitsItsTurn(t *testing.T) {
	t.Parallel()
	r := misbehave(t, "hang", Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := r.Read(ctx, Request{Archive: []byte("x")})
		first <- err
	}()
	for len(r.slots) == 0 {
		select {
		case err := <-first:
			t.Fatalf("it did not hang: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	short, done := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer done()
	if _, err := r.Read(short, Request{Archive: []byte("x")}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTimeout) {
		t.Errorf("the second one did not wait: %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) {
		t.Errorf("the first one was not canceled: %v", err)
	}
}

func TestNoSuchProgram(t *testing.T) {
	t.Parallel()
	r, err := NewReader(Limits{}, 1, filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Read(t.Context(), Request{Archive: []byte("x")})
	if !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrCrashed) {
		t.Errorf("the error is %v, want one that is not about the chart", err)
	}
}

func TestAChildStartsNoChild(t *testing.T) {
	t.Setenv(chartChild, "1")
	if _, err := chartReader(t, Limits{}).Read(t.Context(), Request{Archive: chartWith("")}); err == nil {
		t.Error("it started one")
	}
}

// A decompression bomb must not cost the manager memory, whatever it costs the child.
func TestBombLeavesTheManagerAlone(t *testing.T) {
	t.Parallel()
	r := chartReader(t, Limits{})
	for _, template := range []string{`{{ repeat 4294967296 "x" }}`, `{{ until 1000000000 | len }}`, `{{ $x := "x" }}{{ range until 40 }}{{ $x = cat $x $x }}{{ end }}`} {
		if _, err := r.Read(t.Context(), Request{Archive: chartWith(template)}); !errors.Is(err, ErrMemory) {
			t.Errorf("%s: the error is %v", template, err)
		}
	}
	if _, err := r.Read(t.Context(), Request{Archive: chartWith("")}); err != nil {
		t.Errorf("the next chart: %v", err)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	chart, err := chartReader(t, Limits{}).Read(t.Context(), Request{Archive: chartWith(`{{ fail (repeat 100000 "no\u001b[31m\n") }}`)})
	if !errors.Is(err, ErrRender) || len(err.Error()) > images.MaxText || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("%d bytes: %.100q", len(err.Error()), err)
	}
	if !strings.Contains(err.Error(), "app/templates/a.yaml:1") || chart.Version != "1.0.0" {
		t.Errorf("%+v: %.100q", chart, err)
	}
}

func TestImagesAreBounded(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
	for name, tc := range map[string]struct {
		reason, template, values string
		images                   int
		want                     error
	}{
		"Many": {
			"more than are read: the first ones are sent",
			head + `{{ range until 5000 }}  - {name: c{{ . }}, image: "example.com/a:{{ . }}"}` + "\n{{ end }}", "",
			images.MaxSources, ErrTooLarge,
		},
		"ManySources": {
			"values that may mean each of many images: the images are all sent",
			head + `{{ range until 2000 }}  - {name: c{{ . }}, image: "example.com/a:{{ . }}"}` + "\n{{ end }}",
			"list:\n" + strings.Repeat("- image: example.com/a\n", 2000),
			2000, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive := pack(map[string][]byte{"Chart.yaml": []byte(plainChart), "templates/a.yaml": []byte(tc.template), "values.yaml": []byte(tc.values)})
			chart, err := chartReader(t, Limits{}).Read(t.Context(), Request{Archive: archive})
			if !errors.Is(err, tc.want) || len(chart.Images) != tc.images {
				t.Errorf("%s: %d images, %v", tc.reason, len(chart.Images), err)
			}
		})
	}
}
