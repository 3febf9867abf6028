package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// mayGrow is how much larger the heap may become, in bytes, during an attack: the largest
// answer that is read at a time, and a few times its size for what is made from it.
const mayGrow = 100 << 20

// A registry whose answers are made to fill the memory affects only its own tenant.
// The test is not parallel, because the allocations of other tests would count.
func TestRegistriesThatFillTheMemory(t *testing.T) {
	for _, attack := range []registrytest.Attack{registrytest.EmptyChildren(), registrytest.ManyChildren(), registrytest.RichChildren()} {
		t.Run(attack.Name, func(t *testing.T) {
			bad, good := newScene(t), newScene(t)
			good.manage(func(o *environment.ManagerOptions) { o.Namespaces = []string{bad.ns, good.ns} })
			grown := watchHeap(t)

			bad.registry.Attack(attack)
			bad.create(bad.store("acme"))
			var manifests []*v1alpha1.ArtifactManifest
			for i := range 6 {
				m := bad.manifest(fmt.Sprint("m", i), "a:1")
				bad.create(m)
				manifests = append(manifests, m)
			}
			for _, m := range manifests {
				bad.Eventually(func() int { return bad.registry.Count(touches(m.Name)) }).Should(gomega.BeNumerically(">=", 1), "%s was not asked for", m.Name)
			}

			upf := good.manifest("upf", "a:1")
			good.image("upf", "a:1", "one")
			good.create(good.store("acme"), upf)
			good.eventually(upf, v1alpha1.ConditionUploaded, "True/Complete")
			good.delete(upf)
			good.goes(upf)

			for _, m := range manifests[:3] {
				change(bad, m, orphan)
				bad.delete(m)
				bad.goes(m)
			}
			bad.delete(manifests[3], manifests[4], manifests[5])
			bad.registry.Intercept(nil)
			for _, m := range manifests[3:] {
				bad.goes(m)
			}
			if most := grown(); most > mayGrow {
				t.Errorf("the heap has grown by %d MiB, want at most %d", most>>20, mayGrow>>20)
			} else {
				t.Logf("the heap has grown by %d MiB", most>>20)
			}
		})
	}
}

// watchHeap makes the garbage collector work as in the manager's program, and measures the heap until
// grown is called. grown returns by how many bytes the heap was larger than at the start at most.
func watchHeap(t *testing.T) (grown func() int64) {
	t.Helper()
	percent := debug.SetGCPercent(33)
	runtime.GC()
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before, most := heap(), int64(0)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, heap()-before)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	end := sync.OnceFunc(func() {
		close(done)
		watching.Wait()
		debug.SetGCPercent(percent)
	})
	t.Cleanup(end)
	return func() int64 { end(); return most }
}

// A media type that is too long for a status must not prevent a manifest from being observed and released.
func TestMediaTypeThatNoStatusCanStore(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.registry.Attack(s.registry.LongType())
	upf := s.manifest("upf", "a:1", "b:1")
	s.image("upf", "a:1", "one")
	s.create(s.store("acme"), upf)
	heads := s.registry.Count(method("HEAD"))
	s.Eventually(func() int { return s.registry.Count(method("HEAD")) }).Should(gomega.BeNumerically(">", heads))
	s.image("upf", "b:1", "two")
	s.eventually(upf, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(upf)
	s.goes(upf)
	s.Expect(s.at("acme/upf/a", "1")).To(gomega.BeEmpty())
}

// A status that the API server refuses must not block the deletion of a manifest whose artifacts are released.
func TestManifestGoesWithoutItsStatus(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var refusing atomic.Bool
	s.manage(func(o *environment.ManagerOptions) {
		o.API = func(rt http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				if !refusing.Load() || req.Method == http.MethodGet || !strings.HasSuffix(req.URL.Path, "/artifactmanifests/upf/status") {
					return rt.RoundTrip(req)
				}
				answer := httptest.NewRecorder()
				answer.Header().Set("Content-Type", "application/json")
				answer.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = answer.WriteString(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"by the test"}`)
				return answer.Result(), nil
			})
		}
	})
	upf := s.manifest("upf", "a:1")
	s.image("upf", "a:1", "one")
	s.create(s.store("acme"), upf)
	s.eventually(upf, v1alpha1.ConditionUploaded, "True/Complete")
	refusing.Store(true)
	s.delete(upf)
	s.goes(upf)
	s.Expect(s.at("acme/upf/a", "1")).To(gomega.BeEmpty())
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))
}
