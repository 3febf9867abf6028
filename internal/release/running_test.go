package release

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/workload"
)

var web = reference.Object{Kind: "Deployment", Namespace: "ran", Name: "web"}

// readings gives a releaser one reading after another, and the last one from then on.
func readings(all ...*workload.Reading) func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error) {
	return func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error) {
		next := all[0]
		all = all[min(1, len(all)-1):]
		return next, nil
	}
}

func runs(uses ...workload.Use) *workload.Reading {
	all := map[workload.Use]bool{}
	for _, u := range uses {
		u.Holder = web
		all[u] = true
	}
	return workload.NewReading(time.Now(), all)
}

func unreadable() *workload.Reading {
	r := runs()
	r.Sources = []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsFailed, Message: "the list ended early"}}
	return r
}

func TestI14WhatRunsIsNotReleased(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		use    func(w *world) workload.Use
	}{
		"by its tag": {reason: "the next pod pulls it by the tag", use: func(*world) workload.Use {
			return workload.Use{Repository: "acme/m/b", Tag: "1", Part: "container web"}
		}},
		"by its digest": {reason: "it was pulled at this digest", use: func(w *world) workload.Use { return workload.Use{Repository: "acme/m/b", Digest: w.digests["b"]} }},
		"by a digest that no poll has seen": {reason: "the tag was moved just now, and pulled", use: func(w *world) workload.Use {
			d, err := registrytest.PushImage(w.t.Context(), w.Host, "acme/m/b", "1", "moved")
			if err != nil {
				w.t.Fatal(err)
			}
			w.digests["b"] = d.Digest.String()
			return workload.Use{Repository: "acme/m/b", Digest: w.digests["b"]}
		}},
		"by a part of an index": {reason: "it is pulled by the digest of a platform", use: func(w *world) workload.Use {
			index, err := registrytest.PushIndex(w.t.Context(), w.Host, "acme/m/b", "1", []string{"linux/amd64", "linux/arm64"}, "b")
			if err != nil {
				w.t.Fatal(err)
			}
			client, err := registry.Open(registry.Config{Location: w.location})
			if err != nil {
				w.t.Fatal(err)
			}
			defer client.Close()
			m, err := client.Manifest(w.t.Context(), "acme/m/b", index.Digest)
			if err != nil {
				w.t.Fatal(err)
			}
			w.digests["b"] = index.Digest.String()
			return workload.Use{Repository: "acme/m/b", Digest: m.Children[1].Digest.String()}
		}},
		"by its chart": {reason: "what a chart deploys is in its manifest", use: func(w *world) workload.Use { return workload.Use{Digest: w.digests["a"], Whole: true} }},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b")
			r := w.releaser()
			r.Workloads = readings(runs(test.use(w)))
			out, err := r.Release(t.Context(), w.task())
			if err != nil || len(out.Holders) != 1 || out.Holders[0].Object != web {
				t.Fatalf("%s: %+v, %v", test.reason, out, err)
			}
			if n := len(w.tombstones()); n > 0 || w.at("a", "1") == "" || w.at("b", "1") == "" {
				t.Errorf("%s: something was released, %d tombstones", test.reason, n)
			}
		})
	}
}

// An entry that leaves the list of a manifest may be deployed by a running chart that stays in the list.
func TestI14AnEntryBesideAChartThatRunsIsNotReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	r := w.releaser()
	r.Workloads = readings(runs(workload.Use{Repository: "acme/m/a", Tag: "1", Whole: true}))
	job := w.task()
	job.Manifest.Status.Artifacts = job.Entries
	job.Entries, job.Cause = job.Entries[1:], v1alpha1.CauseRemoved
	out, err := r.Release(t.Context(), job)
	if err != nil || len(out.Holders) != 1 || out.Holders[0].Object != web || out.Holders[0].References[0].Artifact != "a" {
		t.Fatalf("%+v, %v", out, err)
	}
	if len(w.tombstones()) > 0 || w.at("b", "1") == "" {
		t.Error("the entry was released")
	}
}

func TestI14AWorkloadThatAppearsGetsItsTagBack(t *testing.T) {
	t.Parallel()
	for title, late := range map[string]*workload.Reading{"it runs": runs(workload.Use{Repository: "acme/m/a", Tag: "1"}), "it cannot be read any more": unreadable()} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b")
			r := w.releaser()
			r.Workloads = readings(runs(), late)
			out, err := r.Release(t.Context(), w.task())
			if held := len(out.Holders) == 1; held == errors.Is(err, workload.ErrUnreadable) {
				t.Fatalf("%+v, %v", out, err)
			}
			w.whole("after it")
			for name, d := range w.digests {
				if got := w.at(name, "1"); got != d {
					t.Errorf("the tag of %s is at %q", name, got)
				}
			}
		})
	}
}

func TestI2WhatCannotBeReadReleasesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	r := w.releaser()
	r.Workloads = readings(unreadable())
	_, err := r.Release(t.Context(), w.task())
	if !errors.Is(err, workload.ErrUnreadable) || !errors.Is(err, reference.ErrHoldersUnknown) {
		t.Error(err)
	}
	if len(w.tombstones()) > 0 || w.at("a", "1") == "" {
		t.Error("something was released")
	}
}

// The registry has an index by its tag but says that the digest does
// not exist: the images in the index, which may run, are not known.
func TestI2AnIndexThatSeemsMissingReleasesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	index, err := registrytest.PushIndex(t.Context(), w.Host, "acme/m/a", "1", []string{"linux/amd64"}, "a")
	if err != nil {
		t.Fatal(err)
	}
	w.Intercept(func(rw http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, index.Digest.String()) {
			return false
		}
		rw.WriteHeader(http.StatusNotFound)
		_, _ = rw.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`))
		return true
	})
	r := w.releaser()
	r.Workloads = readings(runs())
	if _, err := r.Release(t.Context(), w.task()); err == nil {
		t.Error("it was released")
	}
	w.Intercept(nil)
	if n := len(w.tombstones()); n > 0 || w.at("a", "1") != index.Digest.String() {
		t.Errorf("something was released, %d tombstones", n)
	}
}

// An entry that leaves a manifest's spec is held by the workloads that use it, not by those that use the other entries.
func TestI14OnlyWhatIsReleasedCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	r := w.releaser()
	r.Workloads = readings(runs(workload.Use{Repository: "acme/m/a", Tag: "1"}))
	task := w.task()
	task.Entries = task.Entries[1:]
	out, err := r.Release(t.Context(), task)
	if err != nil || len(out.Holders) > 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	if diff := cmp.Diff([]string{w.digests["a"], ""}, []string{w.at("a", "1"), w.at("b", "1")}); diff != "" {
		t.Error(diff)
	}
}
