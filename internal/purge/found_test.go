package purge

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// acr returns a world with a live manifest and with a registry that can list image manifests.
func acr(t *testing.T, change func(*v1alpha1.ArtifactStore)) *world {
	t.Helper()
	w := newWorld(t, change)
	w.ServeACR()
	w.must(w.raw.Create(t.Context(), aManifest(lists("live"), func(m *v1alpha1.ArtifactManifest) {
		m.Name, m.Spec.Artifacts[0].ArtifactName = "other", "app"
		m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "app", ArtifactVersion: "live", Repository: "acme/other/app", State: v1alpha1.ArtifactMissing}}
	})))
	for name, tag := range map[string]string{"pushed": "", "kept": "1.0.0"} {
		desc, err := registrytest.PushImage(t.Context(), w.Host, "acme/other/app", tag, name)
		w.must(err)
		w.digest[name] = desc.Digest
	}
	stranger, err := registrytest.PushImage(t.Context(), w.Host, "acme/stranger", "", "stranger")
	w.must(err)
	w.digest["stranger"] = stranger.Digest
	return w
}

func (w *world) hasIn(repository, name string) bool {
	w.t.Helper()
	_, err := w.client.Resolve(w.t.Context(), repository, w.digest[name].String())
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

func (w *world) foundTombstones() []v1alpha1.Tombstone {
	w.t.Helper()
	var all v1alpha1.TombstoneList
	w.must(w.raw.List(w.t.Context(), &all, client.InNamespace(namespace)))
	var found []v1alpha1.Tombstone
	for _, t := range all.Items {
		if t.Spec.Cause == v1alpha1.CauseFound {
			found = append(found, t)
		}
	}
	return found
}

func TestFoundGetsATombstoneAndAFullGrace(t *testing.T) {
	t.Parallel()
	w := acr(t, nil)
	report, err := w.run()
	w.must(err)
	if got := w.verdict(report, "pushed"); got != "keep GracePeriod" {
		t.Errorf("the verdict on an untagged digest is %q", got)
	}
	if got := w.verdict(report, "stranger"); got != "" {
		t.Errorf("I9: outside of the store's manifests the verdict is %q", got)
	}
	found := w.foundTombstones()
	if len(found) != 1 || len(found[0].Spec.Artifacts) != 1 || found[0].Spec.Manifest.Name != "other" || found[0].Spec.Artifacts[0].Digests[0] != w.digest["pushed"].String() {
		t.Fatalf("the tombstones are %+v", found)
	}
	e := found[0].Entry("acme/other/app", graph.UndoTag(w.digest["pushed"]))
	if e.State != v1alpha1.TombstoneUntagged || !e.UntaggedAt.Equal(ago(0)) {
		t.Errorf("the entry is %+v", e)
	}
	w.clock.SetTime(now.Add(23 * time.Hour))
	_, err = w.run()
	w.must(err)
	if !w.hasIn("acme/other/app", "pushed") {
		t.Error("it went before its grace was over")
	}
	w.clock.SetTime(now.Add(25 * time.Hour))
	report, err = w.run()
	w.must(err)
	if w.hasIn("acme/other/app", "pushed") || w.verdict(report, "pushed") != "delete Found" {
		t.Errorf("after its grace: %s", report.Summary())
	}
	if !w.hasIn("acme/other/app", "kept") || !w.hasIn("acme/stranger", "stranger") {
		t.Error("more went than was found")
	}
	if left := w.foundTombstones(); len(left) != 0 {
		t.Errorf("its tombstone is left: %+v", left)
	}
}

// A push may upload layers and children before it sets its tag. The
// test finds a purge that keeps their grace period running after that.
func TestFoundIsForgottenOnceItIsInUse(t *testing.T) {
	t.Parallel()
	w := acr(t, nil)
	_, err := w.run()
	w.must(err)
	w.tag("acme/other/app", "2.0.0", "pushed")
	_, err = w.run()
	w.must(err)
	if left := w.foundTombstones(); len(left) != 0 {
		t.Fatalf("it is in use and has a tombstone: %+v", left)
	}
	w.must(w.client.Untag(t.Context(), "acme/other/app", "2.0.0"))
	w.clock.SetTime(now.Add(25 * time.Hour))
	_, err = w.run()
	w.must(err)
	if found := w.foundTombstones(); !w.hasIn("acme/other/app", "pushed") || len(found) != 1 {
		t.Error("the grace of its second find is not a new one")
	}
}

func TestI8FoundInADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	w := acr(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.DryRun = true })
	w.gate.left = 0
	report, err := w.run()
	w.must(err)
	if w.verdict(report, "pushed") != "keep GracePeriod" || len(w.foundTombstones()) != 0 {
		t.Errorf("%s", report.Summary())
	}
}

// A crash between writing a tombstone and beginning its grace period leaves an entry that the next run completes.
func TestI4FoundIsResumed(t *testing.T) {
	t.Parallel()
	for left := range 40 {
		w := acr(t, nil)
		w.gate.left = left
		_, err := w.run()
		w.gate.open()
		_, again := w.run()
		w.must(again)
		found := w.foundTombstones()
		if len(found) != 1 || found[0].Entry("acme/other/app", graph.UndoTag(w.digest["pushed"])).UntaggedAt == nil || !w.hasIn("acme/other/app", "pushed") {
			t.Fatalf("after a crash at write %d: %+v", left, found)
		}
		if err == nil {
			return // the purge has no further write
		}
	}
	t.Error("the run never ended by itself")
}

func TestLockedIsKept(t *testing.T) {
	t.Parallel()
	w := acr(t, nil)
	w.Lock(repo, w.digest["image"])
	report, err := w.run()
	w.must(err)
	w.shows(append([]string{"image"}, stayed...), []string{"index", "amd64", "arm64"})
	if got := w.verdict(report, "image"); got != "keep Locked" {
		t.Errorf("the verdict is %q", got)
	}
}

// lists makes the client one for which absences settle at once, and has answer answer the requests for lists of
// image manifests. answer gets the number of the request, from 1, and reports whether it has answered it.
func (w *world) lists(answer func(rw http.ResponseWriter, request int64) bool) {
	w.t.Helper()
	c, err := registry.Open(registry.Config{Location: w.Location("acme"), SecondLook: time.Nanosecond})
	w.must(err)
	w.t.Cleanup(c.Close)
	w.hooks.Registry = c
	var requests atomic.Int64
	w.Intercept(func(rw http.ResponseWriter, req *http.Request) bool {
		return strings.HasPrefix(req.URL.Path, "/acr/v1/"+web+"/") && answer(rw, requests.Add(1))
	})
}

// A locked index protects its children. The test finds a purge that takes one wrong answer of a proxy for a registry without locks.
func TestI2OneAnswerDoesNotHideLocks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		answer func(rw http.ResponseWriter, request int64) bool
		err    string // "" for any: it depends on which repository is read first
	}{
		"NoList":    {"it may be a proxy's answer", func(rw http.ResponseWriter, n int64) bool { return n == 1 && wrote(rw, http.StatusNotFound) }, ""},
		"Forbidden": {"so may this", func(rw http.ResponseWriter, n int64) bool { return n == 1 && wrote(rw, http.StatusForbidden) }, ""},
		"NoRepository": {"a replica may lag", func(rw http.ResponseWriter, n int64) bool {
			if n == 1 {
				registrytest.Fail(rw, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
			}
			return n == 1
		}, "run the purge again"},
		"Unavailable": {"what is locked is unknown", func(rw http.ResponseWriter, _ int64) bool { return wrote(rw, http.StatusHTTPVersionNotSupported) }, "unavailable"},
		"FailsLater": {"an answer that fails confirms nothing", func(rw http.ResponseWriter, n int64) bool {
			return wrote(rw, map[bool]int{true: http.StatusNotFound, false: http.StatusHTTPVersionNotSupported}[n == 1])
		}, "unavailable"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := acr(t, nil)
			w.indexOf(web, "locked", w.digest["arm64"])
			w.must(w.client.Untag(t.Context(), web, "locked"))
			w.Lock(web, w.digest["locked"])
			w.lists(tc.answer)
			report, err := w.run()
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: the error is %v, want one that contains %q", tc.reason, err, tc.err)
			}
			if !w.hasIn(web, "arm64") || !w.hasIn(web, "locked") {
				t.Errorf("%s: a child of a locked index is lost: %s", tc.reason, report.Summary())
			}
			if w.hasIn(repo, "image") {
				t.Errorf("%s: nothing was deleted in another repository", tc.reason)
			}
		})
	}
}

func wrote(rw http.ResponseWriter, status int) bool {
	rw.WriteHeader(status)
	return true
}

func TestUndoLostIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	grace, err := w.client.Manifest(t.Context(), repo, w.digest["grace"])
	w.must(err)
	w.must(w.client.Delete(t.Context(), repo, w.digest["grace"])) // as the registry's own collection would
	_, err = w.run()
	w.must(err)
	var ts v1alpha1.Tombstone
	w.must(w.get(&ts, "t3"))
	if e := ts.Entry(repo, "1.0.2"); e.State != v1alpha1.TombstoneUntagged || !strings.HasPrefix(e.Reason, "UndoLost") || ts.Status.Conditions[0].Reason != v1alpha1.ReasonUndoLost {
		t.Errorf("the entry is %+v, %+v", e, ts.Status.Conditions)
	}
	w.must(w.client.Put(t.Context(), repo, w.digest["grace"].String(), grace))
	_, err = w.run()
	w.must(err)
	if state, reason := w.state("t3", repo, "1.0.2"); state != v1alpha1.TombstoneUntagged || reason != "" {
		t.Errorf("it is back, and the entry says %s, %s", state, reason)
	}
}

func TestI4WhatIsFoundIsRecordedBesideTheTombstoneOfAnotherPlace(t *testing.T) {
	t.Parallel()
	w := acr(t, nil)
	_, err := w.run()
	w.must(err)
	theirs := w.foundTombstones()[0]
	w.must(w.raw.Delete(t.Context(), theirs.DeepCopy()))
	theirs.ResourceVersion, theirs.Spec.RegistryURL = "", "https://elsewhere.example.com/acme"
	theirs.Spec.Artifacts[0].Digests = []string{w.digest["kept"].String()}
	w.must(w.raw.Create(t.Context(), theirs.DeepCopy()))
	_, err = w.run()
	w.must(err)
	recorded := map[string][]string{}
	for _, found := range w.foundTombstones() {
		for _, a := range found.Spec.Artifacts {
			recorded[found.Spec.RegistryURL] = append(recorded[found.Spec.RegistryURL], a.Digests...)
		}
	}
	want := map[string][]string{w.URL("acme"): {w.digest["pushed"].String()}, theirs.Spec.RegistryURL: {w.digest["kept"].String()}}
	if !reflect.DeepEqual(recorded, want) {
		t.Errorf("recorded are %v, want %v", recorded, want)
	}
}

// An untagged index may belong to a push that has not ended. Its parts stay with
// it through its grace period, even those that were released long ago.
func TestI1WhatIsFoundKeepsItsParts(t *testing.T) {
	t.Parallel()
	w := acr(t, nil)
	w.indexOf(web, "pushing", w.digest["arm64"])
	w.must(w.client.Untag(t.Context(), web, "pushing"))
	report, err := w.run()
	w.must(err)
	if !w.hasIn(web, "pushing") || !w.hasIn(web, "arm64") || w.hasIn(web, "amd64") {
		t.Errorf("only the part of the found index must stay: %s", report.Summary())
	}
	if got := w.verdict(report, "arm64"); got != "keep IndexChild" {
		t.Errorf("the verdict on its part is %q", got)
	}
}
