package purge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	clientgofake "k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// oneAtATime makes the waves small: one request at a time.
func oneAtATime(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Concurrency = 1 }

// sweeps is a log that records the number of the first manifest of each wave.
type sweeps struct {
	mu    sync.Mutex
	first []int
}

func (s *sweeps) Write(line []byte) (int, error) {
	var l struct {
		Msg  string `json:"msg"`
		Done int    `json:"done"`
	}
	err := json.Unmarshal(line, &l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Msg == "Sweeping" {
		s.first = append(s.first, l.Done)
	}
	return len(line), err
}

// onDelete calls f before each deletion that the registry is asked for.
func (w *world) onDelete(f func(repository string)) {
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			f(repositoryOf(r))
		}
		return false
	})
}

// repositoryOf returns the repository of a request.
func repositoryOf(r *http.Request) string {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, kind := range []string{"/tags/", "/manifests/", "/referrers/", "/blobs/"} {
		path, _, _ = strings.Cut(path, kind)
	}
	return path
}

// A restore waits for at most two waves.
func TestI13TwoWavesAtMostAreClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneAtATime)
	w.spread(9, 2)
	log, most := &sweeps{}, 0
	w.onDelete(func(string) {
		var all v1alpha1.TombstoneList
		if err := w.raw.List(t.Context(), &all); err != nil {
			t.Error(err)
		}
		log.mu.Lock()
		defer log.mu.Unlock()
		least, claimed := log.first[max(0, len(log.first)-2)], 0
		for _, grave := range all.Items {
			if !slices.ContainsFunc(grave.Status.Artifacts, func(e v1alpha1.TombstoneArtifactStatus) bool { return e.State == v1alpha1.TombstoneSweeping }) {
				continue
			}
			number := 0 // of manifest cnf
			if _, err := fmt.Sscanf(grave.Spec.Manifest.Name, "m%d", &number); err == nil {
				number++
			}
			if claimed++; number < least {
				t.Errorf("manifest %d is claimed while manifests from %d on are swept: %v", number, least, log.first)
			}
		}
		most = max(most, claimed)
	})
	cfg := w.config()
	cfg.Log = slog.New(slog.NewJSONHandler(log, nil))
	_, err := Run(t.Context(), cfg)
	w.must(err)
	if len(log.first) < 3 || most == 0 {
		t.Errorf("%d tombstones were claimed in waves from %v", most, log.first)
	}
	w.shows(stayed, gone)
}

// While a wave is verified, the next one is claimed.
func TestWavesOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneAtATime)
	repositories := w.spread(2, 10) // each has more work than the first waves may have
	var deleted, looked atomic.Bool
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if repositoryOf(r) != repositories[0] {
			return false
		}
		if r.Method == http.MethodDelete {
			deleted.Store(true)
		}
		if !deleted.Load() || !strings.HasSuffix(r.URL.Path, "/tags/list") || !looked.CompareAndSwap(false, true) {
			return false
		}
		for start := time.Now(); ; {
			if state, _ := w.state("m1", repositories[10], "1.0.0"); state == v1alpha1.TombstoneSweeping {
				return false
			}
			if time.Since(start) > 10*time.Second {
				t.Error("the next wave is not claimed while this one is looked after")
				return false
			}
			<-time.After(time.Millisecond)
		}
	})
	_, err := w.run()
	w.must(err)
	if !looked.Load() {
		t.Error("the wave was not looked after")
	}
	w.shows(stayed, gone)
}

// A repository that keeps all requests busy must be read within 5 s, so it is not read while others are verified.
func TestI3ALargeRepositoryIsSweptAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneAtATime)
	w.spread(1, 10)
	const large = "acme/m1/large"
	var entries []func(*v1alpha1.Tombstone)
	for i := range 2 * 8 { // 8 digests take one of the two places for a request
		desc, err := registrytest.PushImage(t.Context(), w.Host, large, "", fmt.Sprint(i))
		w.must(err)
		entries = append(entries, in(large, v1alpha1.TombstoneUntagged, 50, fmt.Sprintf("1.0.%d", i), desc.Digest.String()))
	}
	grave := w.tombstone("m1", append(entries, func(t *v1alpha1.Tombstone) { t.Spec.Manifest.Name = "m1" })...)
	status := grave.Status
	w.must(w.raw.Create(t.Context(), grave))
	grave.Status = status
	w.must(w.raw.Status().Update(t.Context(), grave))
	w.Forget()
	_, err := w.run()
	w.must(err)
	first, last := -1, -1 // first request to the large repository after others are deleted from, and last request to these
	deleting := false
	for i, r := range w.Requests() {
		others := strings.HasPrefix(repositoryOf(r), "acme/m0/")
		deleting = deleting || (others && r.Method == http.MethodDelete)
		if deleting && first < 0 && repositoryOf(r) == large {
			first = i
		}
		if others {
			last = i
		}
	}
	if first < 0 || first < last {
		t.Errorf("the large repository is read by request %d, and others are looked at until request %d", first, last)
	}
}

// What a tag pushed during the deletion needs is restored while the next wave runs, and the next wave is not delayed.
func TestI1VerifyBesideTheNextWave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneAtATime)
	repositories := w.spread(2, 10)
	w.hooks.onDelete = func(repository string, x digest.Digest) {
		if repository == repositories[0] {
			w.indexOf(repository, "late", x)
		}
	}
	report, err := w.run()
	if !errors.Is(err, ErrPutBack) || report.Deleted != 6+19 {
		t.Errorf("the error is %v, want ErrPutBack; %s", err, report.Summary())
	}
	w.whole(repositories[0], "late")
	for _, repository := range repositories[1:] {
		if _, err := w.client.Resolve(t.Context(), repository, w.digest[repository].String()); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", repository, err)
		}
	}
	if state, _ := w.state("m0", repositories[0], "1.0.0"); state != v1alpha1.TombstoneKept {
		t.Errorf("the entry of what was put back is %q", state)
	}
}

// The process dies at each write of two waves. The next purges complete the work, and nothing that is kept is lost.
func TestI4CrashInOneOfTwoWavesIsResumed(t *testing.T) {
	t.Parallel()
	manifests := func(t *testing.T) (*world, []string) {
		t.Helper()
		w := newWorld(t, oneAtATime)
		return w, w.spread(2, 6)
	}
	whole, _ := manifests(t)
	_, err := whole.run()
	whole.must(err)
	for n := range whole.gate.writes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w, repositories := manifests(t)
			w.gate.left, w.gate.lost = n, n%2 == 1
			if _, err := w.run(); err == nil {
				t.Error("the crash went unnoticed")
			}
			w.shows(stayed, nil)
			w.gate.open()
			for _, hours := range []time.Duration{0, 20, 25} {
				w.leases = clientgofake.NewClientset() // the Lease of the dead purge has expired
				w.clock.SetTime(now.Add(hours * time.Hour))
				_, err := w.run()
				w.must(err)
				w.shows([]string{"tagged", "live"}, nil)
			}
			w.shows(nil, gone)
			for _, repository := range repositories {
				if _, err := w.client.Resolve(t.Context(), repository, w.digest[repository].String()); !errors.Is(err, registry.ErrNotFound) {
					t.Errorf("%s: %v", repository, err)
				}
			}
			for _, name := range []string{"t1", "m0", "m1"} {
				if err := w.get(&v1alpha1.Tombstone{}, name); err == nil {
					t.Errorf("tombstone %s is left", name)
				}
			}
		})
	}
}

// For each reading of the cluster, the API server is asked once for
// a manifest with many repositories, and not once for each of them.
func TestAManifestIsAskedForOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	// Without other manifests, because verifying an earlier wave would read the cluster during the sweep of this one.
	w.must(w.raw.DeleteAllOf(t.Context(), &v1alpha1.Tombstone{}, client.InNamespace(namespace)))
	w.spread(1, 12)
	var mu sync.Mutex
	asked := 0
	api, ok := w.api.(client.WithWatch)
	if !ok {
		t.Fatalf("%T cannot watch", w.api)
	}
	cfg := w.config()
	cfg.Client = interceptor.NewClient(api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
		if _, manifest := into.(*v1alpha1.ArtifactManifest); manifest && key.Name == "m0" {
			mu.Lock()
			defer mu.Unlock()
			asked++
		}
		return c.Get(ctx, key, into, opts...)
	}})
	_, err := Run(t.Context(), cfg)
	w.must(err)
	if asked != 1 {
		t.Errorf("it was asked for %d times", asked)
	}
}
