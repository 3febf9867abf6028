package artifact

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/crashtest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// crashing makes a scene whose writes fail from a crash on.
func crashing(t *testing.T) (*scene, *crashtest.Crash) {
	t.Helper()
	s, crash := newScene(t), crashtest.NewCrash()
	api, ok := s.api.(client.WithWatch)
	if !ok {
		t.Fatal("the client cannot be intercepted")
	}
	s.api = interceptor.NewClient(api, crash.Funcs())
	s.target.Intercept(crash.Refuse)
	s.restart()
	return s, crash
}

// passes runs n passes, each when everything is due.
func (s *scene) passes(a *v1alpha1.Artifact, n int) {
	s.t.Helper()
	for range n {
		if err := s.api.Get(s.t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
			s.t.Fatal(err)
		}
		_, _ = s.r.Reconcile(s.t.Context(), a.DeepCopy()) // errors are reported in conditions
		s.clock.SetTime(s.clock.Now().Add(time.Hour))
	}
	if err := s.api.Get(s.t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
		s.t.Fatal(err)
	}
}

// at returns the digest of the mirror's tag; "" if the tag is missing.
func (s *scene) at(a *v1alpha1.Artifact) string {
	s.t.Helper()
	d, err := registrytest.TagDigest(s.t.Context(), s.target.Host, mustRepository(s.t, a), "1")
	if err != nil {
		return ""
	}
	return d.String()
}

// If a process ends between any two writes of a copy, or any write fails, the mirror's tag must
// still point to an image that can be pulled, and the next process must complete the copy.
func TestR5ACrashBetweenAnyTwoWritesOfACopy(t *testing.T) {
	t.Parallel()
	crashtest.AtEveryWrite(t, 10, func(t *testing.T, at int, once bool) int {
		t.Helper()
		s, crash := crashing(t)
		first, a := s.push("one").Digest.String(), s.artifact("ran", "upf:1")
		s.passes(a, 1)
		if s.at(a) != first {
			t.Fatal("it was not copied")
		}
		second := s.push("two").Digest.String()
		crash.Set(at, once)
		s.passes(a, 2)
		writes := crash.Writes()
		if now := s.at(a); now != first && now != second {
			t.Errorf("the mirror's tag is at %q", now)
		}
		if a.Status.State == v1alpha1.MirrorPresent && a.Status.Digest == second && s.at(a) != second {
			t.Error("the new image is said to be there before its tag is")
		}
		crash.Set(-1, false)
		s.restart()
		s.passes(a, 3)
		s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
		if s.at(a) != second || a.Status.Digest != second || a.Status.ObservedGeneration != a.Generation {
			t.Errorf("the mirror's tag is at %s, and the Artifact says %s; want %s", s.at(a), a.Status.Digest, second)
		}
		return writes
	})
}

// Needed Artifacts are created, and their users written, wherever the process ends in between.
func TestACrashBetweenAnyTwoWritesOfWhatIsNeeded(t *testing.T) {
	t.Parallel()
	crashtest.AtEveryWrite(t, 5, func(t *testing.T, at int, once bool) int {
		t.Helper()
		w, crash := newNeedWorld(t, needMirror()), crashtest.NewCrash()
		api, ok := w.Client.(client.WithWatch)
		if !ok {
			t.Fatal("the client cannot be intercepted")
		}
		w.Client = interceptor.NewClient(api, crash.Funcs())
		w.reading = needReading(usedBy("upf", "r.example/acme/upf", "1", ""), usedBy("smf", "r.example/acme/smf", "2", ""))
		w.reading.Sources = []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsRead}}
		crash.Set(at, once)
		w.reconcile(t)
		writes := crash.Writes()
		crash.Set(-1, false)
		for range 2 { // existing Artifacts must not be created again
			w.clock.SetTime(w.clock.Now().Add(needWell))
			w.reconcile(t)
		}
		var all v1alpha1.ArtifactList
		if err := w.List(t.Context(), &all, client.InNamespace("ran")); err != nil {
			t.Fatal(err)
		}
		if len(all.Items) != 2 {
			t.Errorf("there are %d Artifacts, want 2", len(all.Items))
		}
		for _, a := range all.Items {
			if a.Status.UserCount != 1 || a.Status.UnusedSince != nil {
				t.Errorf("Artifact %s has %d users", a.Spec.SourceArtifact, a.Status.UserCount)
			}
		}
		return writes
	})
}

// The annotation nfo.dev/reconcile-now asks both registries,
// once for each value, on the Artifact or on the mirror's store.
func TestReconcileNowAsksForAnArtifactOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	asked := func(when string, want bool) {
		t.Helper()
		s.forget()
		s.pass(a)
		if got := s.requests() > 0; got != want {
			t.Errorf("%s: registries were asked: %t, want %t", when, got, want)
		}
	}
	asked("before it is due", false)
	metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.AnnotationReconcileNow, "1")
	if err := s.api.Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	asked("by order", true)
	asked("by the same order", false)
	store := &v1alpha1.ArtifactStore{}
	if err := s.api.Get(t.Context(), s.r.Store, store); err != nil {
		t.Fatal(err)
	}
	metav1.SetMetaDataAnnotation(&store.ObjectMeta, v1alpha1.AnnotationReconcileNow, "2")
	if err := s.api.Update(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	asked("by an order on the mirror's store", true)
	asked("by the same orders", false)
	if got := a.Status.LastReconcileNow; got != "1,2" {
		t.Errorf("the orders are remembered as %q", got)
	}
}
