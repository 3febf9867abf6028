package chart

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"

	"github.com/nfo-operator/nfo/internal/chart/record"
)

func podOf(name, image string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {containers: [{name: a, image: %q}]}\n", name, image)
}

// stored returns releases as Helm stores them: the data.release of the Secret of each. Helm's storage package needs
// database drivers, which must not become dependencies; TestI14RecordsOfHelmItself reads records that Helm has written.
func stored(t *testing.T, releases ...*release.Release) (records [][]byte) {
	t.Helper()
	for _, r := range releases {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, packed(string(text)))
	}
	return records
}

func releaseOf(version int, status release.Status, manifest string, hooks ...*release.Hook) *release.Release {
	return &release.Release{
		Name: "upf", Namespace: "cnf", Version: version, Info: &release.Info{Status: status}, Manifest: manifest, Hooks: hooks,
		Chart:  &helmchart.Chart{Metadata: &helmchart.Metadata{Name: "upf", Version: "1.0.0"}, Values: map[string]any{"image": "r.example/acme/not-used:1"}},
		Config: map[string]any{"image": "r.example/acme/not-used:2"},
	}
}

func TestI14EveryRevisionAndHookThatHelmRecords(t *testing.T) {
	t.Parallel()
	deployment := `# Source: upf/templates/upf.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: upf}
spec:
  template:
    spec:
      initContainers: [{name: i, image: "r.example/acme/init:2"}]
      containers:
      - {name: a, image: "r.example/acme/upf:2", args: ["--sidecar=r.example/acme/sidecar:2", "--url=https://r.example/web"], env: [{name: RELATED_IMAGE, value: "oci://r.example/acme/job:2"}]}
      - {name: b, image: "R.EXAMPLE/NOT AN IMAGE"}
`
	custom := "apiVersion: acme.example/v1\nkind: Upf\nmetadata: {name: u}\nspec: {sidecarImage: r.example/acme/custom:2}\n"
	records := stored(
		t,
		releaseOf(1, release.StatusSuperseded, "---\n"+podOf("a", "r.example/acme/upf:1")),
		releaseOf(2, release.StatusDeployed, "---\n"+deployment+"---\n"+custom+"---\n# nothing\n",
			&release.Hook{Name: "migrate", Manifest: podOf("migrate", "r.example/acme/migrate:2"), Events: []release.HookEvent{release.HookPreUpgrade}},
			&release.Hook{Name: "check", Manifest: podOf("check", "r.example/acme/check:2"), Events: []release.HookEvent{release.HookTest}},
			&release.Hook{Name: "same", Manifest: podOf("same", "r.example/acme/upf:2")}),
		releaseOf(3, release.StatusUninstalling, ""),
	)
	want := []record.Result{
		{Release: record.Release{Name: "upf", Revision: 1, Status: "superseded", Images: []record.Image{{Reference: "r.example/acme/upf:1"}}}},
		{Release: record.Release{Name: "upf", Revision: 2, Status: "deployed", Images: []record.Image{
			{Reference: "r.example/acme/sidecar:2"}, {Reference: "r.example/acme/job:2"}, {Reference: "r.example/acme/upf:2"},
			{Reference: "r.example/acme/init:2"}, {Reference: "r.example/acme/custom:2"},
			{Reference: "r.example/acme/migrate:2", Hook: "migrate"}, {Reference: "r.example/acme/check:2", Hook: "check"},
		}}},
		{Release: record.Release{Name: "upf", Revision: 3, Status: "uninstalling"}},
	}
	got, err := chartReader(t, Limits{}).ReadReleases(t.Context(), records)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
}

// The Secrets of testdata were written by the Secrets driver of Helm 3.22.0 and 4.3.1.
func TestI14RecordsOfHelmItself(t *testing.T) {
	t.Parallel()
	want := []record.Result{
		{Release: record.Release{Name: "upf", Revision: 1, Status: "superseded", Images: []record.Image{{Reference: "r.example/acme/upf:1"}}}},
		{Release: record.Release{Name: "upf", Revision: 2, Status: "deployed", Images: []record.Image{
			{Reference: "r.example/acme/upf:2"}, {Reference: "r.example/acme/migrate:2", Hook: "migrate"}, {Reference: "r.example/acme/check:2", Hook: "check"},
		}}},
		{Release: record.Release{Name: "upf", Revision: 3, Status: "uninstalling"}},
	}
	for _, file := range []string{"helm3.json", "helm4.json"} {
		text, err := os.ReadFile("testdata/records/" + file)
		var secrets corev1.SecretList
		if err = errors.Join(err, json.Unmarshal(text, &secrets)); err != nil {
			t.Fatal(err)
		}
		var records [][]byte
		for _, s := range secrets.Items {
			records = append(records, s.Data["release"])
		}
		got, err := chartReader(t, Limits{}).ReadReleases(t.Context(), records)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v: %s", file, err, diff)
		}
	}
}

func encoded(text string) []byte {
	return []byte(base64.StdEncoding.EncodeToString([]byte(text)))
}

func packed(text string) []byte { return encoded(string(gzipped([]byte(text)))) }

func TestI2RecordsThatAreNone(t *testing.T) {
	t.Parallel()
	plain := `{"name":"upf","version":1,"manifest":"` + strings.ReplaceAll(podOf("a", "r.example/acme/upf:1"), "\n", `\n`) + `"}`
	plain = strings.ReplaceAll(plain, `"r.example/acme/upf:1"`, `r.example/acme/upf:1`)
	whole := packed(plain)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 8), c-1)
	}
	manifest := func(text string) []byte { return stored(t, releaseOf(1, release.StatusDeployed, text))[0] }
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "---\n%s", podOf("a", fmt.Sprintf("r.example/acme/upf:%d", i)))
	}
	tests := map[string]struct {
		reason string
		record []byte
		want   []error // the error must be one of these
		says   string
	}{
		"plain":        {"Helm reads records that are not compressed too", encoded(plain), nil, ""},
		"whole":        {"a record in the fewest fields", whole, nil, ""},
		"nothing":      {"no data.release", nil, []error{record.ErrUnreadable}, "invalid Helm release record"},
		"not base64":   {"written by hand", []byte("{{{"), []error{record.ErrUnreadable}, "base64"},
		"not JSON":     {"garbage in base64", encoded("\x00garbage"), []error{record.ErrUnreadable}, "invalid character"},
		"cut":          {"the last bytes are missing", whole[:len(whole)/2/4*4], []error{record.ErrUnreadable}, "EOF"},
		"other type":   {"a manifest that is a list", packed(`{"manifest":[]}`), []error{record.ErrUnreadable}, "manifest"},
		"zip bomb":     {"1 GiB of zeros", packed(strings.Repeat("\x00", 40<<20)), []error{record.ErrTooLarge, ErrMemory}, ""},
		"too long":     {"no Secret holds so much", []byte(strings.Repeat("A", record.MaxBytes+4)), []error{record.ErrTooLarge}, "the limit is"},
		"not YAML":     {"a document that cannot be decoded may name images", manifest(podOf("a", "x") + "---\n{a: ["), []error{record.ErrUnreadable}, "its manifest: document 2"},
		"not object":   {"nor can one that is a list", manifest("---\n- a\n"), []error{record.ErrUnreadable}, "document 2"},
		"aliases":      {"YAML of which each line is nine times the one before", manifest(bomb), []error{record.ErrUnreadable, ErrMemory}, ""},
		"deep":         {"lists in lists", manifest("a: " + strings.Repeat("[", 100_000)), []error{record.ErrUnreadable, ErrMemory, ErrTimeout}, ""},
		"huge":         {"30 MiB of YAML", manifest("a:\n" + strings.Repeat("- {b: c}\n", 3<<20)), []error{ErrMemory, ErrTimeout}, "takes too"},
		"many images":  {"more images than are read", manifest(many.String()), []error{record.ErrTooLarge}, "4096 images"},
		"deep JSON":    {"objects in objects", packed(`{"info":` + strings.Repeat(`{"a":`, 50_000)), []error{record.ErrUnreadable}, ""},
		"hook no YAML": {"hooks count", stored(t, releaseOf(1, release.StatusDeployed, "", &release.Hook{Name: "h", Manifest: "{"}))[0], []error{record.ErrUnreadable}, "its hook h"},
	}
	// One process reads all records, and no record may affect the others.
	var names []string
	var records [][]byte
	for name, tc := range tests {
		names, records = append(names, name), append(records, tc.record, whole)
	}
	results, err := chartReader(t, Limits{CPU: 3 * time.Second, Memory: 192 << 20}).ReadReleases(t.Context(), records)
	if err != nil || len(results) != len(records) {
		t.Fatalf("%d of %d results: %v", len(results), len(records), err)
	}
	ok := record.Release{Name: "upf", Revision: 1, Images: []record.Image{{Reference: "r.example/acme/upf:1"}}}
	for i, name := range names {
		tc, got := tests[name], results[2*i]
		matches := len(tc.want) == 0 && got.Err == nil
		for _, want := range tc.want {
			matches = matches || errors.Is(got.Err, want)
		}
		if !matches || got.Err != nil && (!strings.Contains(got.Err.Error(), tc.says) || len(got.Err.Error()) > 1024) {
			t.Errorf("%s: %s: the error is %v, want one of %v: %s", name, tc.reason, got.Err, tc.want, tc.says)
		}
		if got.Err == nil && !cmp.Equal(got.Release, ok) {
			t.Errorf("%s: %s: %+v", name, tc.reason, got.Release)
		}
		if after := results[2*i+1]; after.Err != nil || !cmp.Equal(after.Release, ok) {
			t.Errorf("the record after %s is read as %+v", name, after)
		}
	}
}

func TestI2WhatTheMachineDoesIsAboutNoRecord(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason, how string
		machine     error // the error of ReadReleases
		record      error // the error of each record
	}{
		"killed":  {"memory is short for all", "kill", ErrStalled, nil},
		"crashed": {"each record alone ends its process", "panic", nil, ErrCrashed},
		"memory":  {"each record alone has too much", "full", nil, ErrMemory},
		"flood":   {"an answer without an end", "flood", nil, ErrTooLarge},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results, err := misbehave(t, tc.how, Limits{}).ReadReleases(t.Context(), [][]byte{[]byte("a"), []byte("b")})
			if !errors.Is(err, tc.machine) || tc.machine != nil && len(results) > 0 {
				t.Errorf("%s: %d results, %v", tc.reason, len(results), err)
			}
			for _, r := range results {
				if !errors.Is(r.Err, tc.record) {
					t.Errorf("%s: the error of a record is %v", tc.reason, r.Err)
				}
			}
			if tc.record != nil && len(results) != 2 {
				t.Errorf("%s: %d results", tc.reason, len(results))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if results, err := chartReader(t, Limits{}).ReadReleases(ctx, [][]byte{packed("{}")}); !errors.Is(err, context.Canceled) || len(results) > 0 {
		t.Errorf("after its context ended: %v, %v", results, err)
	}
}

func TestAChildOfRecordsStartsNoChild(t *testing.T) {
	t.Setenv(chartChild, "1")
	if _, err := chartReader(t, Limits{}).ReadReleases(t.Context(), [][]byte{packed("{}")}); err == nil {
		t.Error("it started one")
	}
}

func TestRecordsOfOneChildAreBounded(t *testing.T) {
	t.Parallel()
	large, small := make([]byte, 1<<20), []byte("a")
	over := make([]byte, record.MaxBytes+1)
	tests := map[string]struct {
		reason  string
		records [][]byte
		want    int
	}{
		"bytes":    {"4 MiB in all", [][]byte{large, large, large, large, large}, 4},
		"number":   {"256 records", make([][]byte, 1000), 256},
		"all":      {"all that there are", [][]byte{small, small}, 2},
		"over":     {"one that is too large is not sent", [][]byte{small, over}, 1},
		"at least": {"one", [][]byte{large}, 1},
	}
	for name, tc := range tests {
		if got := batchOf(tc.records, maxChildRecords); got != tc.want {
			t.Errorf("%s: %d, want %d: %s", name, got, tc.want, tc.reason)
		}
	}
}
