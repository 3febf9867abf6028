package workload

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/crashtest"
	"github.com/nfo-operator/nfo/internal/workload"
	"github.com/nfo-operator/nfo/internal/workload/workloadtest"
)

// cluster serves lists of workloads, which the test changes, and counts the lists.
type cluster struct {
	mu sync.Mutex
	workloadtest.Server
	lists int
	// meanwhile, if not nil, is called before each list is served.
	meanwhile func()
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists++
	if c.meanwhile != nil {
		c.meanwhile()
	}
	c.Server.ServeHTTP(w, r)
}

// runs lets pods run these images, or denies everybody to list pods.
func (c *cluster) runs(denied bool, images ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pods []string
	for _, image := range images {
		pods = append(pods, workloadtest.Pod("p", image))
	}
	if c.Server = (workloadtest.Server{Objects: map[string][]string{"/api/v1/pods": pods}}); denied {
		c.Denied = []string{"pods"}
	}
}

// read returns how many lists were read since the last call.
func (c *cluster) read() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.lists
	c.lists = 0
	return n
}

// world has the manifests a and b, and runs passes over their store.
type world struct {
	*passtest.World
	t       *testing.T
	cluster *cluster
	r       *Reconciler
	woken   chan event.GenericEvent
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, cluster: &cluster{}, woken: make(chan event.GenericEvent, 100), World: passtest.NewWorld(t, func(s *v1alpha1.ArtifactStore) {
		s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods}}
	})}
	server := httptest.NewServer(w.cluster)
	t.Cleanup(server.Close)
	w.cluster.runs(false)
	reader, err := workload.NewReader(&rest.Config{Host: server.URL}, server.Client(), nil, w.Clock, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.r = &Reconciler{Client: w.API, Known: workload.NewKnown(reader), Clock: w.Clock, Now: time.Now, Wake: w.woken, Watches: &Watches{Client: w.API}, Handed: NewHanded()}
	for _, name := range []string{"a", "b"} {
		m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta(name)}
		m.Spec.ArtifactStoreRef.Name = "acme"
		if err := w.API.Create(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "upf", ArtifactVersion: "1", Repository: "acme/" + name + "/upf"}}
		if err := w.API.Status().Update(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) store() *v1alpha1.ArtifactStore {
	w.t.Helper()
	s := &v1alpha1.ArtifactStore{}
	if err := w.API.Get(w.t.Context(), client.ObjectKeyFromObject(w.Store), s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) edit(change func(*v1alpha1.ArtifactStore)) {
	w.t.Helper()
	s := w.store()
	change(s)
	if err := w.API.Update(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

// pass runs one pass. It fails the test unless the pass read workloads as
// wanted, woke these manifests, and asked to be repeated after this time.
func (w *world) pass(when string, reads bool, again time.Duration, woken ...string) {
	w.t.Helper()
	result, err := w.r.Reconcile(w.t.Context(), w.store())
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.cluster.read() > 0; got != reads || result.RequeueAfter > again || result.RequeueAfter < again-time.Minute {
		w.t.Errorf("%s: it reads: %t, and comes again after %s; want %t, %s", when, got, result.RequeueAfter, reads, again)
	}
	got := map[string]bool{}
	for len(w.woken) > 0 {
		got[(<-w.woken).Object.GetName()] = true
	}
	if len(got) != len(woken) {
		w.t.Errorf("%s: it wakes %v, want %v", when, got, woken)
	}
	for _, name := range woken {
		if !got[name] {
			w.t.Errorf("%s: it wakes %v, want %v", when, got, woken)
		}
	}
}

func (w *world) later(d time.Duration) { w.Clock.SetTime(w.Clock.Now().Add(d)) }

// Workloads are read at intervals. A reading must wake the manifests
// for which it differs from the one before, and no others.
func TestWhatRunsWakesWhomItConcerns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	upf := w.Host + "/acme/a/upf:1"
	w.cluster.runs(false, upf)
	w.pass("at first", true, readWell, "a")
	if s := w.store(); s.Status.Workloads == nil || s.Status.Workloads.Unreadable() != "" {
		t.Errorf("the status is %+v", s.Status.Workloads)
	}
	w.pass("before it is due", false, readWell)
	w.later(readWell)
	w.pass("when nothing has changed", true, readWell)
	w.cluster.runs(false, upf, w.Host+"/acme/b/upf:1")
	w.later(readWell)
	w.pass("when something new runs", true, readWell, "b")
	w.cluster.runs(false)
	w.later(readWell)
	w.pass("when nothing runs any more", true, readWell, "a", "b")
	w.cluster.runs(false, upf)
	w.edit(func(s *v1alpha1.ArtifactStore) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationReconcileNow, "1")
	})
	w.later(readFailed) // a reading that is younger is used again
	w.pass("by order", true, readWell, "a")
	w.pass("by the same order", false, readWell)
	w.edit(func(s *v1alpha1.ArtifactStore) { s.Generation++ })
	w.later(readFailed)
	w.pass("of another spec", true, readWell)
}

// If workloads cannot be read, the status must say so, and the reading must
// be retried soon. Until it succeeds, nothing of the store is removed.
func TestI14WhatCannotBeReadIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster.runs(true)
	w.pass("without the right", true, readFailed)
	if w.store().Status.Workloads.Unreadable() == "" {
		t.Error("the store does not say that pods cannot be read")
	}
	w.cluster.runs(false)
	w.later(readFailed)
	w.pass("with the right", true, readWell)
	if why := w.store().Status.Workloads.Unreadable(); why != "" {
		t.Errorf("the store still says %s", why)
	}
	selecting := w.store()
	w.edit(func(s *v1alpha1.ArtifactStore) { s.Spec.Workloads = nil; s.Generation++ })
	w.pass("of a store that selects nothing", false, 0)
	if w.store().Status.Workloads != nil {
		t.Error("the store still says what runs")
	}
	if _, known := w.r.Known.Last(selecting); known {
		t.Error("what ran is still known")
	}
	w.edit(func(s *v1alpha1.ArtifactStore) { s.Spec.Mirror = &v1alpha1.MirrorSpec{} })
	w.pass("of the mirror's store, which another one reads", false, 0)
}

// A store that is being deleted, or is inert for now, must still know which kinds there were.
func TestI2WhatAStoreHasSeenIsNotForgotten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.ArtifactStore){
		"Terminating": func(s *v1alpha1.ArtifactStore) { s.DeletionTimestamp = new(metav1.Now()) },
		"Inert": func(s *v1alpha1.ArtifactStore) {
			s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPathConflict}}
		},
		"NotJudged": func(s *v1alpha1.ArtifactStore) { s.Status.Conditions = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cluster.runs(false, w.Host+"/acme/a/upf:1")
			w.pass("at first", true, readWell, "a")
			s := w.store()
			s.Status.Workloads.Sources[0].Definitions = []v1alpha1.WorkloadDefinition{{Name: "x.example.com", UID: "x"}}
			if err := w.API.Status().Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			change(s)
			w.later(readWell)
			if _, err := w.r.Reconcile(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if seen := w.store().Status.Workloads; seen == nil || len(seen.Sources) != 1 || len(seen.Sources[0].Definitions) != 1 {
				t.Errorf("what it has seen is %+v", seen)
			}
		})
	}
}

// A pass that ends before it has written must read, and wake manifests, again.
func TestACrashBeforeWhatRunsIsWritten(t *testing.T) {
	t.Parallel()
	crashtest.AtEveryWrite(t, 1, func(t *testing.T, at int, once bool) int {
		t.Helper()
		w := newWorld(t)
		w.cluster.runs(false, w.Host+"/acme/a/upf:1")
		w.Crash.Set(at, once)
		_, failed := w.r.Reconcile(t.Context(), w.store())
		writes := w.Crash.Writes()
		w.Crash.Set(-1, false)
		if writes > at {
			if failed == nil && len(w.woken) > 0 {
				t.Error("it wakes for what it has not written")
			}
			w.cluster.read()
			w.later(readFailed)
			w.pass("after the crash", true, readWell, "a")
		}
		if w.store().Status.Workloads == nil {
			t.Error("the store does not say what runs")
		}
		return writes
	})
}

// A store may be deleted, without its finalizer, while workloads are read.
func TestNothingIsRememberedOfAStoreThatGoesWhileItIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster.runs(false, w.Host+"/acme/a/upf:1")
	var memory pass.Memory
	r, key := pass.Remember(w.API, &memory, w.r), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(w.Store)}
	run := func() []string {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		return passtest.Remembered(w.Store.UID, w.r)
	}
	if at := run(); !slices.Equal(at, []string{"Reconciler.Known.last", "Reconciler.Handed.all"}) {
		t.Errorf("of a store that is there %v are remembered", at)
	}
	w.later(readWell)
	w.cluster.meanwhile = sync.OnceFunc(func() {
		w.edit(func(s *v1alpha1.ArtifactStore) { s.Finalizers = nil })
		if err := w.API.Delete(context.WithoutCancel(t.Context()), w.Store); err != nil {
			t.Error(err)
		}
		memory.Forget(w.Store)
	})
	if at := run(); len(at) > 0 {
		t.Errorf("of a store that is gone %v are remembered", at)
	}
}
