package purge

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// lie answers the next requests of a kind, as many as times says, and then no more.
func lie(w *world, times int, kind func(*http.Request) bool, answer http.HandlerFunc) *atomic.Int64 {
	left := &atomic.Int64{}
	left.Store(int64(times))
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !kind(r) || left.Add(-1) < 0 {
			return false
		}
		answer(rw, r)
		return true
	})
	return left
}

func fails(code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		registrytest.Fail(w, http.StatusNotFound, code, "not here")
	}
}

func read(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method != http.MethodDelete && strings.Contains(r.URL.Path, path) }
}

// If a registry gives a wrong answer once or twice, nothing that
// is kept is lost, and what may be deleted is deleted in the end.
func TestI2WrongAnswers(t *testing.T) {
	t.Parallel()
	noTags := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"tags":[]}`))
	}
	tests := map[string]struct {
		kind   func(w *world) func(*http.Request) bool
		answer http.HandlerFunc
	}{
		"tag":          {func(*world) func(*http.Request) bool { return read("/manifests/handmade") }, fails("MANIFEST_UNKNOWN")},
		"live tag":     {func(*world) func(*http.Request) bool { return read("/manifests/live") }, fails("MANIFEST_UNKNOWN")},
		"candidate":    {func(w *world) func(*http.Request) bool { return read(w.digest["image"].String()) }, fails("MANIFEST_UNKNOWN")},
		"index":        {func(w *world) func(*http.Request) bool { return read(w.digest["index"].String()) }, fails("MANIFEST_UNKNOWN")},
		"undo":         {func(w *world) func(*http.Request) bool { return read(w.digest["grace"].String()) }, fails("MANIFEST_UNKNOWN")},
		"signature":    {func(*world) func(*http.Request) bool { return read("/manifests/sha256-") }, fails("MANIFEST_UNKNOWN")},
		"list unknown": {func(*world) func(*http.Request) bool { return read(repo + "/tags/list") }, fails("NAME_UNKNOWN")},
		"list empty":   {func(*world) func(*http.Request) bool { return read(repo + "/tags/list") }, noTags},
		"bare 404":     {func(*world) func(*http.Request) bool { return read("/manifests/") }, http.NotFound},
	}
	for name, tc := range tests {
		for _, times := range []int{1, 2} {
			t.Run(strings.Join([]string{name, []string{"", "once", "twice"}[times]}, " "), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				left := lie(w, times, tc.kind(w), tc.answer)
				_, _ = w.run() // it may fail, but loses nothing
				if left.Load() >= int64(times) {
					t.Fatal("nothing was asked that could be answered wrongly")
				}
				w.shows(stayed, nil)
				w.Intercept(nil)
				for day := 1; day <= 3; day++ {
					w.clock.SetTime(now.Add(time.Duration(day) * 25 * time.Hour))
					_, err := w.run()
					w.must(err)
				}
				w.shows([]string{"tagged", "live"}, append(gone, "grace"))
				if state, reason := w.state("t1", repo, "1.0.0"); state != "" {
					t.Errorf("t1 is %s, %s", state, reason)
				}
			})
		}
	}
}

// If the list of tags is wrongly empty in many purges, a digest
// that had a tag is not deleted before its grace period has ended.
func TestI2EmptyListInManyPurges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.run()
	w.must(err)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		empty := read(repo + "/tags/list")(r)
		if empty {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write([]byte(`{"name":"` + repo + `","tags":[]}`))
		}
		return empty
	})
	run := func(hours int, want string) {
		t.Helper()
		w.clock.SetTime(now.Add(time.Duration(hours) * time.Hour))
		report, err := w.run()
		w.must(err)
		if got := w.verdict(report, "tagged"); got != want {
			t.Errorf("after %d hours the verdict is %q, want %q", hours, got, want)
		}
	}
	for hours := 1; hours <= 3; hours++ {
		run(hours, "keep Unsettled")
	}
	w.shows([]string{"tagged"}, nil)
	run(25, "delete Released")
	w.shows(nil, []string{"tagged"})
}

// If the registry says right before a deletion that the digest does not exist, the purge must not count it as deleted.
func TestI2DeletionOfWhatSeemsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	lie(w, 1, func(r *http.Request) bool {
		return r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, w.digest["image"].String())
	}, fails("MANIFEST_UNKNOWN"))
	report, err := w.run()
	w.must(err)
	if got := w.verdict(report, "image"); got != "keep Unsettled" {
		t.Errorf("the verdict is %q, want keep Unsettled", got)
	}
	w.shows([]string{"image"}, nil)
	w.Intercept(nil)
	w.clock.SetTime(now.Add(25 * time.Hour))
	_, err = w.run()
	w.must(err)
	w.shows(nil, gone)
}

// If the answer to a deletion is lost, the purge must count the digest as deleted.
func TestLostAnswerIsNoAbsence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	lie(w, 1, func(r *http.Request) bool {
		return r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, w.digest["image"].String())
	}, func(rw http.ResponseWriter, r *http.Request) {
		w.App.ServeHTTP(httptest.NewRecorder(), r)
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := w.run()
	w.must(err)
	if state, reason := w.state("t1", repo, "1.0.0"); state != "" {
		t.Errorf("t1 is %s, %s", state, reason)
	}
}

// A store records a reference that does not resolve, and drops it once it resolves.
func TestI2UnresolvedIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	remembered := func() []v1alpha1.UnresolvedReference {
		var s v1alpha1.ArtifactStore
		w.must(w.get(&s, "acme"))
		return s.Status.Unresolved
	}
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !read("/manifests/handmade")(r) {
			return false
		}
		fails("MANIFEST_UNKNOWN")(rw, r)
		return true
	})
	for day := range 2 {
		w.clock.SetTime(now.Add(time.Duration(day) * 12 * time.Hour))
		report, err := w.run()
		w.must(err)
		want := []v1alpha1.UnresolvedReference{{Repository: repo, TagOrDigest: "handmade", Since: metav1.NewTime(now)}}
		if diff := cmp.Diff(want, remembered()); diff != "" {
			t.Errorf("day %d: -want +got\n%s", day, diff)
		}
		if got := w.verdict(report, "tagged"); got != "keep Unsettled" {
			t.Errorf("day %d: the verdict is %q, want keep Unsettled", day, got)
		}
	}
	w.Intercept(nil)
	_, err := w.run()
	w.must(err)
	if left := remembered(); len(left) > 0 {
		t.Errorf("it resolves again and is remembered: %v", left)
	}
	w.shows([]string{"tagged"}, nil)
}

// An empty list although objects exist is detected by the names in statuses and tombstones.
func TestI2ContradictionsOfTheAPIServer(t *testing.T) {
	t.Parallel()
	held := aManifest(func(m *v1alpha1.ArtifactManifest) {
		m.Name = "other"
		m.Status.Dependents.Dependents = []v1alpha1.Dependent{{Kind: v1alpha1.KindDefinition, Namespace: namespace, Name: "a"}}
	})
	tests := map[string]struct {
		reason  string
		objects []client.Object
		empty   client.ObjectList // the kind whose list is empty
		want    error
	}{
		"manifests":        {"the manifest was applied again", []client.Object{aManifest(lists("1.0.0"))}, &v1alpha1.ArtifactManifestList{}, reading.ErrContradiction},
		"definitions":      {"a manifest's status names one", []client.Object{held, aDefinition("a", "other", "")}, &v1alpha1.NetworkFunctionDefinitionVersionList{}, reading.ErrContradiction},
		"holder is gone":   {"the status is older than that", []client.Object{held}, &v1alpha1.NetworkFunctionDefinitionVersionList{}, nil},
		"nothing is there": {"an empty list may be true", nil, &v1alpha1.ArtifactManifestList{}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			for _, o := range tc.objects {
				w.must(w.raw.Create(t.Context(), o.DeepCopyObject().(client.Object))) //nolint:forcetypeassert // it is one
			}
			cfg := w.config()
			cfg.Client = interceptor.NewClient(w.api.(client.WithWatch), interceptor.Funcs{ //nolint:forcetypeassert // it is one
				List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
					if runtimeType(l) == runtimeType(tc.empty) {
						return nil
					}
					return c.List(ctx, l, opts...)
				},
			})
			_, err := Run(t.Context(), cfg)
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v: %s", err, tc.want, tc.reason)
			}
			if tc.want != nil {
				w.shows(append(gone, stayed...), nil)
			}
		})
	}
}

func TestSkewStopsThePurge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	cfg := w.config()
	cfg.Skew = func() time.Duration { return 49 * time.Hour }
	_, err := Run(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "49h0m0s off the API server's") {
		t.Errorf("%v, want the skew", err)
	}
	w.shows(append(gone, stayed...), nil)
}

// Grace periods are compared with the API server's time. The test finds a purge that uses the host's clock.
func TestGraceIsTheAPIServersTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	cfg := w.config()
	w.clock.SetTime(now.Add(49 * time.Hour))
	cfg.Now = func() time.Time { return now }
	_, err := Run(t.Context(), cfg)
	w.must(err)
	w.shows(stayed, gone)
}

// Tombstones that were restored from a backup without their status get a status again, with a full grace period from now.
func TestReviveForgottenTombstones(t *testing.T) {
	t.Parallel()
	forget := func(tag, name string) func(*v1alpha1.Tombstone) {
		return func(t *v1alpha1.Tombstone) {
			t.Spec.Artifacts = []v1alpha1.TombstoneArtifact{{Repository: repo, Tag: tag, Digests: []string{name}}}
		}
	}
	w := newWorld(t, nil)
	d := func(name string) string { return w.digest[name].String() }
	w.must(w.raw.Create(t.Context(), aManifest(lists("live"))))
	for _, o := range []client.Object{
		w.tombstone("gone", forget("old", d("image"))),
		w.tombstone("there", forget("handmade", d("tagged"))),
		w.tombstone("alive", forget("live", d("live"))),
		w.tombstone("taken", forget("handmade", d("live"))),
		w.tombstone("busy", forget("older", d("image")), func(t *v1alpha1.Tombstone) { t.Spec.Manifest.UID = "am-cnf" }),
	} {
		w.must(w.raw.Create(t.Context(), o))
	}
	_, err := w.run()
	w.must(err)
	for name, want := range map[string]struct {
		tag    string
		state  v1alpha1.TombstoneState
		reason string
	}{
		"gone":  {"old", v1alpha1.TombstoneUntagged, ""},
		"there": {"handmade", v1alpha1.TombstonePending, "NotUntagged"},
		"alive": {"live", v1alpha1.TombstoneRestored, ""},
		"taken": {"handmade", v1alpha1.TombstoneUntagged, "TagTaken"},
		"busy":  {"older", v1alpha1.TombstonePending, ""},
	} {
		state, reason := w.state(name, repo, want.tag)
		if state != want.state || !strings.HasPrefix(reason, want.reason) || (want.reason == "" && reason != "") {
			t.Errorf("%s is %s, %q; want %s, %q", name, state, reason, want.state, want.reason)
		}
	}
	w.clock.SetTime(now.Add(23 * time.Hour))
	_, err = w.run()
	w.must(err)
	w.shows([]string{"image"}, nil)
	w.must(w.raw.Delete(t.Context(), &v1alpha1.Tombstone{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "busy"}}))
	w.clock.SetTime(now.Add(25 * time.Hour))
	_, err = w.run()
	w.must(err)
	w.shows([]string{"live", "tagged"}, []string{"image"})
}

// A restore that failed, and whose manifest was then deleted, does not keep its digests forever.
func TestAbandonedRestores(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	restoring := func(name, image string, hours int) {
		w.push(image, "")
		o := w.tombstone(name, in(repo, v1alpha1.TombstoneRestoring, hours, image, w.digest[image].String()))
		o.Summarise()
		o.Status.Conditions[0].LastTransitionTime = *ago(1)
		if hours == 0 { // its tag was not seen to be missing before the restore claimed it
			o.Status.Artifacts[0].UntaggedAt = nil
		}
		w.must(w.raw.Create(t.Context(), o))
	}
	restoring("over", "a", 30)
	restoring("grace", "b", 20)
	restoring("pending", "c", 0)
	_, err := w.run()
	w.must(err)
	w.shows([]string{"b", "c"}, []string{"a"})
	for name, tag := range map[string]string{"grace": "b", "pending": "c"} {
		var o v1alpha1.Tombstone
		w.must(w.get(&o, name))
		if state := o.Entry(repo, tag).State; state != v1alpha1.TombstoneUntagged || !strings.Contains(o.Status.Conditions[0].Message, "To restore") {
			t.Errorf("%s is %s: %s", name, state, o.Status.Conditions[0].Message)
		}
	}
	w.clock.SetTime(now.Add(25 * time.Hour))
	_, err = w.run()
	w.must(err)
	w.shows(nil, []string{"b", "c"})
}
