package store

import (
	"context"
	"net/netip"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/crashtest"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// world runs passes over its store.
type world struct {
	*passtest.World
	t *testing.T
	r *Reconciler
}

// newWorld makes a world whose store has a nightly purge and has not been reconciled yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, World: passtest.NewWorld(t, func(s *v1alpha1.ArtifactStore) {
		s.Finalizers, s.Status = nil, v1alpha1.ArtifactStoreStatus{}
		s.Spec.Purge.Schedule = new("0 0 * * *")
	})}
	w.restart()
	return w
}

// restart makes the reconciler of a process that has just started.
func (w *world) restart() {
	w.r = &Reconciler{
		Client: w.API, Live: w.API, Holders: w.Finder(), Registries: w.Registries(), Events: w.Events, Clock: w.Clock, Now: time.Now, Purger: purgeSettings,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
		Pings: map[types.UID]Ping{}, Lane: lane.New(lane.Pings, w.Speeds(), w.Clock),
	}
}

// store returns the stored object; nil once it is deleted.
func (w *world) store() *v1alpha1.ArtifactStore {
	w.t.Helper()
	s := &v1alpha1.ArtifactStore{}
	err := w.API.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, s)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
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

// passes runs n passes, each when everything is due.
func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		s := w.store()
		if s == nil {
			return
		}
		_, _ = w.r.Reconcile(w.t.Context(), s) // errors are reported in conditions
		w.Later()
	}
}

// says fails the test unless a condition of the store is as wanted, as Status/Reason.
func (w *world) says(condition, want string) {
	w.t.Helper()
	c := apimeta.FindStatusCondition(w.store().Status.Conditions, condition)
	if c == nil || string(c.Status)+"/"+c.Reason != want {
		w.t.Errorf("it says %+v, want %s", c, want)
	}
}

// purges fails the test unless the objects of a purge exist, with or without the CronJob.
func (w *world) purges(scheduled bool) {
	w.t.Helper()
	for _, o := range []client.Object{&batchv1.CronJob{}, &rbacv1.RoleBinding{}, &corev1.ServiceAccount{}} {
		name := cronjob.ObjectName("acme")
		if _, binding := o.(*rbacv1.RoleBinding); binding {
			name = made[*rbacv1.RoleBinding](w.t, w.store()).Name
		}
		_, job := o.(*batchv1.CronJob)
		err := w.API.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: name}, o)
		if want := !job || scheduled; want != (err == nil) {
			w.t.Errorf("%T %s: %v, want it to be there: %t", o, name, err, want)
		}
	}
}

// If a process ends between any two writes of a pass over a store,
// or any write fails, the next process must complete the work.
func TestI4ACrashBetweenAnyTwoWritesOfAStore(t *testing.T) {
	t.Parallel()
	ready := func(w *world) {
		w.passes(3)
		w.says(v1alpha1.ConditionReady, "True/Ready")
	}
	tests := map[string]struct {
		reason         string
		least          int
		before, begins func(w *world)
		ends           func(w *world)
	}{
		"Made": {"the finalizer, the purge's objects, and what is said", 5, func(*world) {}, func(*world) {}, func(w *world) {
			w.says(v1alpha1.ConditionReady, "True/Ready")
			w.says(v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
			w.purges(true)
			if s := w.store(); s.Status.FirstReadyTime == nil || len(s.Finalizers) != 1 || s.Status.ObservedGeneration != s.Generation {
				w.t.Errorf("it is not protected, or has no status: %+v", s.ObjectMeta)
			}
		}},
		"Unscheduled": {"the CronJob goes", 2, ready, func(w *world) {
			w.edit(func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Schedule = new("") })
		}, func(w *world) {
			w.says(v1alpha1.ConditionPurgeHealthy, "Unknown/Suspended")
			w.purges(false)
		}},
		"Edited": {"what was edited by hand is corrected", 1, ready, func(w *world) {
			job := &batchv1.CronJob{}
			if err := w.API.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: cronjob.ObjectName("acme")}, job); err != nil {
				w.t.Fatal(err)
			}
			job.Spec.Schedule = "1 1 1 1 *"
			if err := w.API.Update(w.t.Context(), job); err != nil {
				w.t.Fatal(err)
			}
		}, func(w *world) {
			job := &batchv1.CronJob{}
			if err := w.API.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: cronjob.ObjectName("acme")}, job); err != nil || job.Spec.Schedule != "0 0 * * *" {
				w.t.Errorf("the CronJob's schedule is %q, %v", job.Spec.Schedule, err)
			}
		}},
		"Deleted": {"nothing holds it", 2, ready, func(w *world) {
			if err := w.API.Delete(w.t.Context(), w.store()); err != nil {
				w.t.Fatal(err)
			}
		}, func(w *world) {
			if w.store() != nil {
				w.t.Error("it is still there")
			}
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashtest.AtEveryWrite(t, tc.least, func(t *testing.T, at int, once bool) int {
				t.Helper()
				w := newWorld(t)
				tc.before(w)
				tc.begins(w)
				w.restart()
				w.Crash.Set(at, once)
				w.passes(3)
				writes := w.Crash.Writes()
				w.Crash.Set(-1, false)
				w.restart()
				w.passes(4)
				tc.ends(w)
				return writes
			})
		})
	}
}

// A store that manifests reference must stay, name these manifests in its status, and be deleted when they are gone.
func TestI1AStoreThatIsHeldStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta("m")}
	m.Spec.ArtifactStoreRef.Name = "acme"
	if err := w.API.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.passes(3)
	if err := w.API.Delete(t.Context(), w.store()); err != nil {
		t.Fatal(err)
	}
	w.passes(2)
	w.says(v1alpha1.ConditionDeletionBlocked, "True/InUse")
	if s := w.store(); *s.Status.Manifests != 1 {
		t.Errorf("it counts %d manifests", *s.Status.Manifests)
	}
	if err := w.API.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if w.passes(2); w.store() != nil {
		t.Error("it stays although nothing holds it")
	}
}

// A registry that is down is asked every 15 seconds, and one that answers every 5 minutes. The annotation
// nfo.dev/reconcile-now must have it asked at once, and its capabilities learned again, once for each value.
func TestReconcileNowAsksTheRegistryOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := func(when string, want bool) {
		t.Helper()
		w.Forget()
		if _, err := w.r.Reconcile(t.Context(), w.store()); err != nil {
			t.Fatal(err)
		}
		if got := w.Count(nil) > 0; got != want {
			t.Errorf("%s: the registry was asked: %t, want %t", when, got, want)
		}
	}
	order := func(value string) {
		t.Helper()
		w.edit(func(s *v1alpha1.ArtifactStore) {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationReconcileNow, value)
		})
	}
	learnt := func(is v1alpha1.Support) {
		t.Helper()
		if got := w.store().Status.Capabilities.TagDelete; got != is {
			t.Errorf("whether it removes a tag alone is %q, want %q", got, is)
		}
	}
	asked("at first", true)
	s := w.store()
	s.Status.Capabilities.TagDelete = v1alpha1.Unsupported
	if err := w.API.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	asked("while the answer lasts", false)
	learnt(v1alpha1.Unsupported)
	order("1")
	asked("by order", true)
	learnt("")
	if got := w.store().Status.LastReconcileNow; got != "1" {
		t.Errorf("the order is remembered as %q", got)
	}
	s = w.store()
	s.Status.Capabilities.TagDelete = v1alpha1.Unsupported
	if err := w.API.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	asked("by the same order", false)
	w.restart()
	asked("by a process that has just started", true)
	learnt(v1alpha1.Unsupported)
	order("2")
	asked("by another order", true)
	learnt("")
	order("")
	asked("when the order is taken back", false)
}
