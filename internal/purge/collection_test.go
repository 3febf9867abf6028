package purge

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// clusterWorld is a world with nfo's own registry.
type clusterWorld struct {
	*world
	dir      string
	registry *serve.Registry
}

// newClusterWorld returns a world whose registry runs no collection before collects is called.
func newClusterWorld(t *testing.T, change func(*v1alpha1.ArtifactStore)) *clusterWorld {
	t.Helper()
	dir := t.TempDir()
	w := &clusterWorld{dir: dir}
	w.world = newWorld(t, func(s *v1alpha1.ArtifactStore) {
		s.Status.URL = s.Spec.Registry.URL
		s.Spec.Registry = v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: "acme"}}
		if change != nil {
			change(s)
		}
	}, registrytest.InDir(dir))
	var all v1alpha1.TombstoneList
	w.must(w.raw.List(t.Context(), &all))
	for i := range all.Items {
		all.Items[i].Spec.RegistryURL = "https://" + v1alpha1.ClusterRegistryHost + "/acme"
		w.must(w.raw.Update(t.Context(), &all.Items[i]))
	}
	v, err := volume.Open(dir, volume.Options{})
	w.must(err)
	w.registry, err = serve.New(t.Context(), serve.Options{Volume: v, Collection: collect.Options{Dwell: time.Millisecond}})
	w.must(err)
	t.Cleanup(func() { w.must(w.registry.Close()) })
	w.App = w.registry.Handler()
	return w
}

// collects makes the registry collect when asked, and everything in it old enough.
func (w *clusterWorld) collects() {
	w.t.Helper()
	w.age()
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.registry.Run(ctx) }()
	w.t.Cleanup(func() { stop(); w.must(<-ended) })
}

// age makes everything in the registry two days old.
func (w *clusterWorld) age() {
	w.t.Helper()
	age(w.t, w.dir)
}

func (w *clusterWorld) config(wait time.Duration) Config {
	cfg := w.world.config()
	cfg.WaitForCollection, cfg.poll, cfg.tell = wait, time.Millisecond, time.Millisecond
	return cfg
}

// onDisk reports whether the bytes of an image manifest are on disk.
func (w *clusterWorld) onDisk(name string) bool {
	w.t.Helper()
	_, err := os.Stat(filepath.Join(w.dir, layout.BlobPath(w.digest[name])))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return err == nil
}

// asked returns how often a collection was asked for.
func (w *world) asked() int {
	return w.Count(func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/nfo/")
	})
}

func (w *world) status() v1alpha1.ArtifactStoreStatus {
	w.t.Helper()
	var s v1alpha1.ArtifactStore
	w.must(w.get(&s, "acme"))
	return s.Status
}

func TestAPurgeFreesTheDisk(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t, nil)
	w.collects()
	report, err := Run(t.Context(), w.config(time.Minute))
	w.must(err)
	w.shows(stayed, gone)
	for name := range w.digest {
		if kept := name == "tagged" || name == "grace" || name == "live"; w.onDisk(name) != kept {
			t.Errorf("%s is on the disk: %t, want %t", name, !kept, kept)
		}
	}
	if report.Freed == nil || *report.Freed < report.Reclaimed || report.Reclaimed == 0 || !strings.Contains(report.Summary(), "the registry freed "+v1alpha1.Bytes(*report.Freed)+" on disk") {
		t.Fatalf("freed is %v of %d: %s", report.Freed, report.Reclaimed, report.Summary())
	}
	got := w.status()
	if u := got.Usage; u.Source != v1alpha1.UsageRegistry || u.UncollectedBytes != 0 || u.Collection != 1 || u.CapacityBytes == nil || u.Percent == nil {
		t.Errorf("usage is %+v", u)
	}
	if run := got.LastPurge; run.FreedBytes == nil || *run.FreedBytes != *report.Freed || run.Message != "" || got.DeletedTotal != 6 || report.Message != "" {
		t.Errorf("recorded is %+v, %d digests in all", run, got.DeletedTotal)
	}
	var out bytes.Buffer
	w.must(report.WriteJSON(&out))
	if !strings.Contains(out.String(), `"freedBytes":`) {
		t.Errorf("%s", out.String())
	}
}

// What was deleted counts as free until the requested collection has ended. After that, only the usage of the disk counts.
func TestAPurgeThatDoesNotWait(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t, nil)
	dry := w.config(time.Minute)
	dry.DryRun = true
	if report, err := Run(t.Context(), dry); err != nil || report.Deleted != 6 || report.Usage.Source != v1alpha1.UsageRegistry || w.asked() != 0 {
		t.Fatalf("a dry run asked for %d collections: %v, %s", w.asked(), err, report.Summary())
	}
	report, err := Run(t.Context(), w.config(0))
	w.must(err)
	if got := w.status(); report.Freed != nil || got.Usage.UncollectedBytes != report.Reclaimed || report.Reclaimed == 0 || got.Usage.Collection != 1 || got.LastPurge.Message != "The registry was asked to collect, which frees the disk." {
		t.Fatalf("%s; usage is %+v, the run %+v", report.Summary(), got.Usage, got.LastPurge)
	}
	if !w.onDisk("image") || w.asked() != 1 {
		t.Fatalf("%d collections were asked for", w.asked())
	}
	w.collects()
	for end := time.Now().Add(30 * time.Second); ; {
		state, failed := w.client.Collection(t.Context(), storeKey)
		if failed == nil && state.Done == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the collection does not end: %+v, %v", state, failed)
		}
	}
	report, err = Run(t.Context(), w.config(0))
	w.must(err)
	if got := w.status(); got.Usage.UncollectedBytes != 0 || got.Usage.Collection != 1 || w.asked() != 1 || report.Message != "" {
		t.Errorf("a purge with nothing to delete: %s; usage is %+v; %d collections were asked for", report.Summary(), got.Usage, w.asked())
	}
}

// If the collection fails, the purge succeeds and says that the disk may be as full as before.
func TestACollectionThatFailsIsNoFailureOfThePurge(t *testing.T) {
	t.Parallel()
	refuse := func(method string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != method || r.URL.Path != "/nfo/v1/collection" {
				return false
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(status)
			_, _ = rw.Write([]byte(body))
			return true
		}
	}
	tests := map[string]struct {
		reason     string
		intercept  func(http.ResponseWriter, *http.Request) bool
		says       string
		collection int64
	}{
		"NotAsked":  {"the registry is too busy to be asked", refuse(http.MethodPost, 503, "{}"), "asking ", 0},
		"Denied":    {"the right was withdrawn", refuse(http.MethodPost, 403, "{}"), "denied", 0},
		"Endless":   {"nothing collects", nil, "has not ended after 100ms", 1},
		"Down":      {"the registry went away", refuse(http.MethodGet, 502, "{}"), "unavailable", 1},
		"Withdrawn": {"nobody waits for what will not be reported", refuse(http.MethodGet, 403, "{}"), "the end of the registry's collection is not known", 1},
		"Failed":    {"a folder could not be read", refuse(http.MethodGet, 200, `{"requested":1,"done":1,"error":"reading a folder: input/output error"}`), "the registry's collection failed: reading a folder: input/output error.", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// With accounted usage, the purge does not ask the registry for usage, which would get the same answers.
			w := newClusterWorld(t, func(s *v1alpha1.ArtifactStore) {
				s.Spec.Purge.Usage, s.Spec.Capacity = v1alpha1.UsageAccounted, resource.NewQuantity(1<<40, resource.BinarySI)
			})
			w.Intercept(tc.intercept)
			began := time.Now()
			report, err := Run(t.Context(), w.config(100*time.Millisecond))
			w.must(err)
			w.shows(stayed, gone)
			if report.Outcome != v1alpha1.PurgeSucceeded || report.Freed != nil || !strings.HasPrefix(report.Message, "The disk may not be freed yet: ") || !strings.Contains(report.Message, tc.says) {
				t.Errorf("%s: %s, want %q", tc.reason, report.Summary(), tc.says)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s: it took %s", tc.reason, took)
			}
			if got := w.status(); got.LastPurge.Message != report.Message || got.LastPurge.FreedBytes != nil || got.LastSuccessTime == nil || got.Usage.Source != v1alpha1.UsageAccounted || got.Usage.Collection != 0 {
				t.Errorf("%s: recorded is %+v", tc.reason, got)
			}
		})
	}
}

// If a purge could not ask for the collection, the next purge asks, even if it has nothing to delete.
func TestTheNextPurgeAsksAgain(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t, nil)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Path == "/nfo/v1/collection" {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	report, err := Run(t.Context(), w.config(time.Minute))
	w.must(err)
	if u := w.status().Usage; u.UncollectedBytes != report.Reclaimed || u.Collection != 0 {
		t.Fatalf("usage is %+v after %s", u, report.Summary())
	}
	w.Intercept(nil)
	w.Forget()
	w.collects()
	report, err = Run(t.Context(), w.config(time.Minute))
	w.must(err)
	if u := w.status().Usage; report.Deleted != 0 || w.asked() != 1 || report.Freed == nil || *report.Freed == 0 || u.UncollectedBytes != 0 || u.Collection != 1 {
		t.Errorf("%d asked, %s; usage is %+v", w.asked(), report.Summary(), u)
	}
}

// A purge that is stopped while it waits has recorded what it did, and logs the progress of the collection until then.
func TestAPurgeIsStoppedWhileItWaits(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	cfg := w.config(time.Hour)
	var log bytes.Buffer
	reported := 0
	cfg.Log = slog.New(slog.NewTextHandler(writer(func(line []byte) {
		log.Write(line)
		if strings.Contains(string(line), "Waiting for the registry's collection") {
			if reported++; reported == 3 {
				lease, err := w.leases.CoordinationV1().Leases(namespace).Get(ctx, cronjob.LeaseName("acme"), metav1.GetOptions{})
				if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != "us" || w.status().LastPurge == nil {
					t.Errorf("while it waits the Lease is %+v (%v), the last purge %+v", lease, err, w.status().LastPurge)
				}
				stop()
			}
		}
	}), nil))
	report, err := Run(ctx, cfg)
	w.must(err)
	if got := w.status(); got.LastPurge == nil || got.LastPurge.Deleted != 6 || got.Usage.UncollectedBytes != report.Reclaimed || !strings.Contains(got.LastPurge.Message, "no longer waits") {
		t.Errorf("recorded is %+v", got.LastPurge)
	}
	if !strings.Contains(log.String(), "collection=1") {
		t.Errorf("%s", log.String())
	}
}

// writer is a log that calls a function with each line.
type writer func(line []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// Threshold and target are compared with the usage of the real disk.
func TestSweepByRegistry(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason            string
		threshold, target int32
		intercept         string // answer to requests for usage
		outcome           v1alpha1.PurgeOutcome
		deleted           int
		says              string
	}{
		"Below":   {"half of the capacity is used", 70, 0, "", v1alpha1.PurgeBelowThreshold, 0, "the threshold is 70 %"},
		"Above":   {"that is more than the threshold", 30, 0, "", v1alpha1.PurgeSucceeded, 6, "asked to collect"},
		"Target":  {"it is reached already", 0, 70, "", v1alpha1.PurgeSucceeded, 0, ""},
		"Unknown": {"the registry does not say", 30, 0, "{}", v1alpha1.PurgeUsageUnknown, 0, "how full it is"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newClusterWorld(t, func(s *v1alpha1.ArtifactStore) {
				s.Spec.Purge.Usage, s.Spec.Purge.ThresholdPercent, s.Spec.Purge.TargetPercent = v1alpha1.UsageRegistry, tc.threshold, tc.target
			})
			disk, err := w.client.Disk(t.Context(), storeKey)
			w.must(err)
			var s v1alpha1.ArtifactStore
			w.must(w.get(&s, "acme"))
			s.Spec.Capacity = resource.NewQuantity(2*disk.Used, resource.BinarySI)
			w.must(w.raw.Update(t.Context(), &s))
			w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
				if tc.intercept == "" || r.URL.Path != "/nfo/v1/usage" {
					return false
				}
				rw.Header().Set("Content-Type", "application/json")
				_, _ = rw.Write([]byte(tc.intercept))
				return true
			})
			report, err := Run(t.Context(), w.config(0))
			if unknown := tc.outcome == v1alpha1.PurgeUsageUnknown; errors.Is(err, ErrRefused) != unknown {
				t.Fatal(tc.reason, err)
			}
			if report.Outcome != tc.outcome || report.Deleted != tc.deleted || !strings.Contains(report.Message, tc.says) || (w.asked() > 0) != (tc.deleted > 0) {
				t.Errorf("%s: %s; %d collections were asked for", tc.reason, report.Summary(), w.asked())
			}
		})
	}
}

// Other registries get no requests that only the cluster's own registry supports.
func TestOtherRegistriesAreNotAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Capacity = resource.NewQuantity(1<<40, resource.BinarySI) })
	cfg := w.config()
	cfg.WaitForCollection = time.Minute
	report, err := Run(t.Context(), cfg)
	w.must(err)
	if n := w.Count(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/nfo/") }); n != 0 || report.Deleted != 6 || report.Message != "" {
		t.Errorf("%d requests; %s", n, report.Summary())
	}
	var s v1alpha1.ArtifactStore
	w.must(w.raw.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "acme"}, &s))
	if s.Status.Usage.Source != v1alpha1.UsageAccounted {
		t.Errorf("usage is %+v", s.Status.Usage)
	}
}
