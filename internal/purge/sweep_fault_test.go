package purge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestI2SlowRepositoryIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	reads := 0
	w.hooks.onTags = func(repository string) {
		if repository != web {
			return
		}
		if reads++; reads > 1 {
			w.clock.SetTime(w.clock.Now().Add(6 * time.Second))
		}
	}
	report, err := w.run()
	if !errors.Is(err, registry.ErrUnreadable) || !strings.Contains(err.Error(), "the repository cannot be read within 5s") {
		t.Errorf("the error is %v, want that it cannot be read in time", err)
	}
	w.shows([]string{"index", "amd64", "arm64", "signature"}, []string{"image"})
	if got := w.verdict(report, "index"); got != "keep Unreadable" {
		t.Errorf("the verdict is %q, want keep Unreadable", got)
	}
	if _, reason := w.state("t1", web, "2.0.0"); !strings.Contains(reason, "cannot be read within 5s") {
		t.Errorf("the entry's reason is %q", reason)
	}
}

// An API server that lists too slowly after the claims keeps everything. The sweep must not wait for it once for each
// repository while entries are claimed, and must leave no claim.
func TestI2SlowListsKeepEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api, ok := w.api.(client.WithWatch)
	if !ok {
		t.Fatalf("%T cannot watch", w.api)
	}
	var blocked atomic.Int64
	cfg := w.config()
	cfg.Client = interceptor.NewClient(api, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
		if _, manifests := into.(*v1alpha1.ArtifactManifestList); manifests && w.claimed() {
			blocked.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}
		return c.List(ctx, into, opts...)
	}})
	_, err := Run(t.Context(), cfg)
	if !errors.Is(err, registry.ErrUnreadable) || !strings.Contains(err.Error(), "does not list the objects of the namespace fast enough") {
		t.Errorf("the error is %v, want that the API server is too slow", err)
	}
	w.shows(append(gone, stayed...), nil)
	if state, reason := w.state("t1", web, "2.0.0"); state != v1alpha1.TombstoneKept || !strings.HasPrefix(reason, "Unreadable: ") {
		t.Errorf("the entry is %s, %s", state, reason)
	}
	if n := blocked.Load(); n != 1 || w.claimed() {
		t.Errorf("%d lists were waited for, and entries are claimed: %t", n, w.claimed())
	}
}

// claimed reports whether an entry of a tombstone is being swept.
func (w *world) claimed() bool {
	var all v1alpha1.TombstoneList
	w.must(w.raw.List(w.t.Context(), &all))
	return slices.ContainsFunc(all.Items, func(t v1alpha1.Tombstone) bool {
		return slices.ContainsFunc(t.Status.Artifacts, func(a v1alpha1.TombstoneArtifactStatus) bool { return a.State == v1alpha1.TombstoneSweeping })
	})
}

func TestI2UnreadableRepositoryStopsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v2/"+web+"/tags/") {
			_, _ = rw.Write([]byte(`{"name":"x"}`))
			return true
		}
		return false
	})
	report, err := w.run()
	if !errors.Is(err, registry.ErrUnreadable) {
		t.Errorf("the error is %v, want ErrUnreadable", err)
	}
	w.Intercept(nil)
	w.shows(append([]string{"index", "amd64", "arm64", "signature"}, stayed...), []string{"image"})
	if report.Outcome != v1alpha1.PurgeFailed || w.verdict(report, "index") != "keep Unreadable" {
		t.Errorf("report: %s", report.Summary())
	}
	if state, reason := w.state("t1", web, "2.0.0"); state != v1alpha1.TombstoneKept || !strings.HasPrefix(reason, "Unreadable: ") {
		t.Errorf("the entry is %s, %s", state, reason)
	}
	if state, _ := w.state("t1", repo, "1.0.0"); state != v1alpha1.TombstonePurged {
		t.Errorf("the other entry is %s, want Purged", state)
	}
}

func TestDeletionDisabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, registrytest.DeleteDisabled())
	report, err := w.run()
	if !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("the error is %v, want ErrUnsupported", err)
	}
	w.shows(append(gone, stayed...), nil)
	run, capabilities := w.lastPurge()
	if run.Outcome != v1alpha1.PurgeFailed || run.Deleted != 0 || capabilities.Delete != v1alpha1.Unsupported {
		t.Errorf("the store's status has %+v and %+v", run, capabilities)
	}
	for _, at := range []struct{ repository, tag string }{{repo, "1.0.0"}, {web, "2.0.0"}} {
		if state, reason := w.state("t1", at.repository, at.tag); state != v1alpha1.TombstoneKept || reason != "Unsupported: deletion is disabled at the registry" {
			t.Errorf("%s is %s, %s", at.tag, state, reason)
		}
	}
	if got := w.verdict(report, "amd64"); got != "keep Unsupported" {
		t.Errorf("the verdict on a child is %q, want keep Unsupported", got)
	}
}

func TestDeniedKeepsThePartsAndStopsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, w.digest["index"].String()) {
			registrytest.Fail(rw, http.StatusForbidden, "DENIED", "immutable")
			return true
		}
		return false
	})
	report, err := w.run()
	w.must(err) // other digests were deleted, so the login may delete
	if !strings.Contains(report.Message, "immutable") || report.Kept[plan.Denied] != 5 {
		t.Errorf("it does not say what was refused: %s", report.Summary())
	}
	w.shows([]string{"index", "amd64", "arm64", "signature"}, []string{"image"})
	if got := w.verdict(report, "amd64"); got != "keep Denied" {
		t.Errorf("the verdict on a child is %q, want keep Denied", got)
	}
}

// If a login may delete nothing, the purge fails. If the registry protects some digests, it does not fail.
func TestNothingCanBeDeleted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		status int
		code   string
		want   error
	}{
		"login":     {"the right to delete is missing", http.StatusForbidden, "DENIED", registry.ErrDenied},
		"protected": {"something refers to each of them", http.StatusBadRequest, "GOOGLE_MANIFEST_DANGLING_TAG", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodDelete {
					registrytest.Fail(rw, tc.status, tc.code, "no")
				}
				return r.Method == http.MethodDelete
			})
			report, err := w.run()
			if !errors.Is(err, tc.want) || report.Kept[plan.Denied] == 0 {
				t.Errorf("%v, %s; want %v: %s", err, report.Summary(), tc.want, tc.reason)
			}
			w.shows(append(gone, stayed...), nil)
			if state, reason := w.state("t1", repo, "1.0.0"); state != v1alpha1.TombstoneKept || !strings.HasPrefix(reason, "Denied: ") {
				t.Errorf("the entry is %s, %s", state, reason)
			}
		})
	}
}

func TestStoreRefusedDuringTheSweep(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*v1alpha1.ArtifactStore){
		v1alpha1.ReasonPathConflict: func(s *v1alpha1.ArtifactStore) { s.Status.Conditions[0].Reason = v1alpha1.ReasonPathConflict },
		v1alpha1.ReasonPlaceRefused: func(s *v1alpha1.ArtifactStore) { s.Status.Conditions[0].Reason = v1alpha1.ReasonPlaceRefused },
		v1alpha1.ReasonMayShareRegistry: func(s *v1alpha1.ArtifactStore) {
			apimeta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionPurgeHealthy, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonMayShareRegistry})
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.hooks.onTags = func(string) {
				var s v1alpha1.ArtifactStore
				w.must(w.get(&s, "acme"))
				change(&s)
				w.must(w.raw.Status().Update(t.Context(), &s))
			}
			if _, err := w.run(); !errors.Is(err, ErrRefused) {
				t.Errorf("the error is %v, want ErrRefused", err)
			}
			w.shows(append(gone, stayed...), nil)
		})
	}
}

// A deletion that the registry does not answer in time and carries out
// later keeps its claim, so that the digest is not restored before.
func TestI13UnansweredDeletionKeepsItsClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodDelete || !strings.HasPrefix(r.URL.Path, "/v2/"+repo) {
			return false
		}
		rw.WriteHeader(http.StatusGatewayTimeout)
		return true
	})
	looks, state := 0, v1alpha1.TombstoneState("")
	w.hooks.onTags = func(repository string) {
		if repository != repo {
			return
		}
		if looks++; looks == 3 { // after the wait, for the verification
			state, _ = w.state("t1", repo, "1.0.0")
		}
	}
	var log bytes.Buffer
	cfg := w.config()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := Run(t.Context(), cfg); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	if state != v1alpha1.TombstoneSweeping || !strings.Contains(log.String(), "Waiting for a deletion that the registry has not answered") {
		t.Errorf("after the wait the entry is %s; the log is\n%s", state, log.String())
	}
	if state, _ := w.state("t1", repo, "1.0.0"); state != v1alpha1.TombstoneKept {
		t.Errorf("afterwards the entry is %s", state)
	}
}

func TestWaitsAsTheRegistryAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var asked atomic.Int64
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		// More than the retries of one call.
		if r.Method != http.MethodDelete || asked.Add(1) > 6 {
			return false
		}
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	report, err := w.run()
	w.must(err)
	w.shows(stayed, gone)
	if asked.Load() <= 6 || report.Outcome != v1alpha1.PurgeSucceeded {
		t.Errorf("asked %d times: %s", asked.Load(), report.Summary())
	}
}

// A purge is stopped during a deletion. The registry carries the deletion
// out nevertheless, so the purge waits for it, counts it and verifies.
func TestStoppedDuringADeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Concurrency = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			cancel()
			<-ctx.Done()
		}
		return false
	})
	report, err := Run(ctx, w.config())
	if !errors.Is(err, context.Canceled) || report.Deleted != 1 {
		t.Errorf("the error is %v: %s", err, report.Summary())
	}
	w.Intercept(nil)
	went, left := "image", "index"
	if w.verdict(report, "index") == "delete Released" {
		went, left = left, went
	}
	w.shows(append([]string{left, "amd64", "arm64", "signature"}, stayed...), []string{went})
}
