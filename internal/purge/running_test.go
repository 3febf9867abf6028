package purge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/workload"
)

// selects makes a store count workloads.
func selects(s *v1alpha1.ArtifactStore) { s.Spec.Workloads = &v1alpha1.WorkloadsSpec{} }

// ran returns a reading of uses by one Deployment.
func (w *world) ran(uses ...workload.Use) *workload.Reading {
	all := map[workload.Use]bool{}
	for _, u := range uses {
		u.Holder = reference.Object{Kind: "Deployment", Namespace: "ran", Name: "upf"}
		all[u] = true
	}
	return workload.NewReading(w.clock.Now(), all)
}

// runWith runs a purge. f returns what runs, and gets the number of the reading, from 1.
func (w *world) runWith(f func(asked int) (*workload.Reading, error)) (Report, error) {
	cfg, asked := w.config(), 0
	cfg.Workloads = func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error) {
		asked++
		return f(asked)
	}
	return Run(w.t.Context(), cfg)
}

func TestI14WhatRunsIsNotPurged(t *testing.T) {
	t.Parallel()
	const tooMany = 1001 // digests in one repository
	tests := map[string]struct {
		reason      string
		use         func(w *world) workload.Use
		kept, freed []string
		many        bool
	}{
		"tag of an image":                 {reason: "it would be pulled once it is restored", use: func(*world) workload.Use { return workload.Use{Repository: repo, Tag: "1.0.0"} }, kept: []string{"image"}, freed: []string{"index", "amd64", "arm64", "signature"}},
		"digest of an image":              {reason: "it is pulled by its digest", use: func(w *world) workload.Use { return workload.Use{Repository: repo, Digest: w.digest["image"].String()} }, kept: []string{"image"}, freed: []string{"index"}},
		"part of an index":                {reason: "the index is what can be pulled by a tag, and restored", use: func(w *world) workload.Use { return workload.Use{Repository: web, Digest: w.digest["arm64"].String()} }, kept: []string{"index", "amd64", "arm64", "signature"}, freed: []string{"image"}},
		"index":                           {reason: "all of it stays", use: func(w *world) workload.Use { return workload.Use{Repository: web, Digest: w.digest["index"].String()} }, kept: []string{"index", "amd64", "arm64", "signature"}, freed: []string{"image"}},
		"chart":                           {reason: "what it was released with stays too", use: func(w *world) workload.Use { return workload.Use{Digest: w.digest["image"].String(), Whole: true} }, kept: []string{"image", "index", "amd64", "arm64", "signature"}},
		"all of a repository":             {reason: "it is not told apart what of it is used", use: func(*world) workload.Use { return workload.Use{Repository: repo, Any: true} }, kept: []string{"image"}, freed: []string{"index"}},
		"other repository":                {reason: "the same tag elsewhere is another image", use: func(*world) workload.Use { return workload.Use{Repository: "acme/other", Tag: "1.0.0"} }, freed: []string{"image", "index"}},
		"more digests than are asked for": {reason: "each is a request", many: true, kept: []string{"image"}, freed: []string{"index"}},
		"digest that is not there": {reason: "someone who makes pods keeps nobody's repository from purges", use: func(*world) workload.Use {
			return workload.Use{Repository: repo, Digest: digest.FromString("nothing").String()}
		}, freed: []string{"image", "index"}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, selects)
			var uses []workload.Use
			if !test.many {
				uses = append(uses, test.use(w))
			}
			for i := 0; test.many && i < tooMany; i++ {
				uses = append(uses, workload.Use{Repository: repo, Digest: digest.FromString(fmt.Sprint(i)).String()})
			}
			report, err := w.runWith(func(int) (*workload.Reading, error) { return w.ran(uses...), nil })
			w.must(err)
			w.shows(append(test.kept, stayed...), test.freed)
			for _, name := range test.kept {
				for _, v := range report.Verdicts {
					if v.Digest == w.digest[name] && v.Reason == plan.InUse && !test.many && !strings.Contains(v.Message, "deployments/ran/upf uses it") {
						t.Errorf("%s: %s is kept because %q", test.reason, name, v.Message)
					}
				}
			}
		})
	}
}

// A pod that references a digest starts between the evidence and the deletion.
func TestI14WhatBeginsToRunDuringTheSweepIsPutBack(t *testing.T) {
	t.Parallel()
	t.Run("digest", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, selects)
		w.putsBack(workload.Use{Repository: repo, Digest: w.digest["image"].String()})
	})
	t.Run("all of its repository", func(t *testing.T) {
		t.Parallel()
		newWorld(t, selects).putsBack(workload.Use{Repository: repo, Any: true})
	})
}

// putsBack runs a purge during which a use appears once an image is deleted.
func (w *world) putsBack(use workload.Use) {
	w.t.Helper()
	t := w.t
	deleted := false
	w.hooks.onDelete = func(_ string, d digest.Digest) { deleted = deleted || d == w.digest["image"] }
	_, err := w.runWith(func(int) (*workload.Reading, error) {
		if deleted {
			return w.ran(use), nil
		}
		return w.ran(), nil
	})
	if !errors.Is(err, ErrPutBack) {
		t.Errorf("the purge ended with %v", err)
	}
	w.shows(append([]string{"image"}, stayed...), nil)
}

func TestI2WhatCannotBeReadIsNotPurged(t *testing.T) {
	t.Parallel()
	failed := func(w *world) *workload.Reading {
		r := w.ran()
		r.Sources = []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsDenied, Message: "cannot list pods"}}
		return r
	}
	w := newWorld(t, selects)
	_, err := w.runWith(func(int) (*workload.Reading, error) { return failed(w), nil })
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "cannot list pods") {
		t.Errorf("the purge ended with %v", err)
	}
	if _, err = Run(t.Context(), w.config()); !errors.Is(err, ErrRefused) {
		t.Errorf("a program that does not read workloads ended with %v", err)
	}
	w.shows(append(gone, stayed...), nil)

	// The readings for the plan succeed. If the next one fails, the first wave does not begin.
	_, err = w.runWith(func(asked int) (*workload.Reading, error) {
		if asked > 2 {
			return failed(w), nil
		}
		return w.ran(), nil
	})
	if err == nil {
		t.Error("the purge succeeded")
	}
	w.shows(append(gone, stayed...), nil)
}

// What runs has no grace period that ends: it gets no tombstone, in whatever purge it is found without a tag.
func TestI14WhatRunsIsNotFound(t *testing.T) {
	t.Parallel()
	const app = "acme/other/app"
	for title, test := range map[string]struct {
		use   func(w *world) workload.Use
		found []string
	}{
		"nothing":          {func(*world) workload.Use { return workload.Use{Repository: "acme/elsewhere", Any: true} }, []string{"pushed", "index"}},
		"digest":           {func(w *world) workload.Use { return workload.Use{Repository: app, Digest: w.digest["pushed"].String()} }, []string{"index"}},
		"part of an index": {func(w *world) workload.Use { return workload.Use{Repository: app, Digest: w.digest["arm64"].String()} }, []string{"pushed"}},
		"digest of a chart": {func(w *world) workload.Use {
			return workload.Use{Digest: w.digest["pushed"].String(), Chart: "x", Whole: true}
		}, []string{"index"}},
		"all of a repository":          {func(*world) workload.Use { return workload.Use{Repository: app, Any: true} }, nil},
		"all repositories of a chart":  {func(*world) workload.Use { return workload.Use{Chart: "app", Whole: true, Any: true} }, nil},
		"all repositories":             {func(*world) workload.Use { return workload.Use{Whole: true, Any: true} }, nil},
		"all repositories of no chart": {func(*world) workload.Use { return workload.Use{Chart: "smf", Whole: true, Any: true} }, []string{"pushed", "index"}},
		"digest that is not there": {func(*world) workload.Use {
			return workload.Use{Repository: app, Digest: digest.FromString("no").String()}
		}, []string{"pushed", "index"}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := acr(t, selects)
			index, err := registrytest.PushIndex(t.Context(), w.Host, app, "", []string{"linux/amd64", "linux/arm64"}, "app")
			w.must(err)
			m, err := w.client.Manifest(t.Context(), app, index.Digest)
			w.must(err)
			w.digest["index"], w.digest["arm64"] = index.Digest, m.Children[1].Digest
			for n := range 3 {
				_, err := w.runWith(func(int) (*workload.Reading, error) { return w.ran(test.use(w)), nil })
				w.must(err)
				got := map[string]bool{}
				for _, found := range w.foundTombstones() {
					for _, a := range found.Spec.Artifacts {
						got[a.Digests[len(a.Digests)-1]] = true
					}
				}
				want := map[string]bool{}
				for _, name := range test.found {
					want[w.digest[name].String()] = true
				}
				if !maps.Equal(got, want) {
					t.Errorf("after purge %d tombstones list %v, want those of %v", n+1, got, test.found)
				}
			}
		})
	}
}
