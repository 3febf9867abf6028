// Package workload keeps the record of what workloads run from each store up to date.
//
// Contract: every 10 minutes [Reconciler] reads what the workloads run that a store
// selects, writes the result to the store's status, and wakes the manifests for which the
// result has changed. Nothing is released because of such a reading: a release reads again.
//
// Decision: a separate controller. Rejected: reading in the pass over a store, because
// the reading of a large cluster would delay that pass, and with it all other stores.
package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

// How often the workloads are read, and how soon again after a failure.
const (
	readWell   = 10 * time.Minute
	readFailed = time.Minute
)

// Reconciler reads what the workloads run that ArtifactStores select. Passes over one store do not run concurrently.
type Reconciler struct {
	client.Client
	Known *workload.Known
	Clock clock.PassiveClock
	Now   func() time.Time // the API server's time
	// Wake makes the manifest reconciler run a pass over a manifest.
	Wake chan<- event.GenericEvent
	// Watches starts to watch the kinds that a reading found.
	Watches *Watches
	// Handed are the readings for which manifests were last woken.
	Handed *Handed
}

// Reconcile reads workloads if it is time to.
func (r *Reconciler) Reconcile(ctx context.Context, s *v1alpha1.ArtifactStore) (ctrl.Result, error) {
	if s.Spec.Mirror != nil { // the users of all images in the mirror are read together, by artifact.NeedReconciler, which also writes them
		r.Known.Forget(s.UID)
		return ctrl.Result{}, nil
	}
	if s.Spec.Workloads == nil || backend.Inert(s) != nil {
		r.Known.Forget(s.UID)
		return pass.Finish(ctrl.Result{}, r.conclude(ctx, s, nil))
	}
	if wait := r.wait(s); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	reading, err := r.read(ctx, s)
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	r.Watches.Begin(ctx, reading)
	err = r.conclude(ctx, s, reading)
	return pass.Finish(ctrl.Result{RequeueAfter: lasts(reading)}, err)
}

// Forget drops everything remembered of a store that no longer exists.
func (r *Reconciler) Forget(uid types.UID) {
	r.Known.Forget(uid)
	r.Handed.set(uid, handedReading{})
}

// wait returns how long the last reading is still good for. It is no longer
// good if a deletion has found since that workloads can, or cannot, be read.
func (r *Reconciler) wait(s *v1alpha1.ArtifactStore) time.Duration {
	handed := r.Handed.of(s.UID)
	if handed.reading == nil || handed.generation != s.Generation || s.Status.Workloads == nil || v1alpha1.ReconcilesNow(v1alpha1.ReconcileNow(s), handed.now) {
		return 0
	}
	if last, known := r.Known.Last(s); known && (last.Unreadable() != nil) != (handed.reading.Unreadable() != nil) {
		return 0
	}
	return lasts(handed.reading) - r.Clock.Since(handed.reading.Begun)
}

// read reads what workloads run, unless a deletion just has.
func (r *Reconciler) read(ctx context.Context, s *v1alpha1.ArtifactStore) (*workload.Reading, error) {
	if last, known := r.Known.Last(s); known && last != r.Handed.of(s.UID).reading && r.Clock.Since(last.Begun) < readFailed {
		return last, nil
	}
	return r.Known.Live(ctx, s)
}

func lasts(r *workload.Reading) time.Duration {
	if r.Unreadable() != nil {
		return readFailed
	}
	return readWell
}

// conclude writes the reading to the status, and wakes the manifests that it concerns. An inert store keeps
// its earlier record: the kinds that existed then decide later whether their absence can be believed (I2).
func (r *Reconciler) conclude(ctx context.Context, s *v1alpha1.ArtifactStore, reading *workload.Reading) error {
	before := s.DeepCopy()
	switch {
	case s.Spec.Workloads == nil:
		s.Status.Workloads = nil
	case reading != nil:
		s.Status.Workloads = &v1alpha1.WorkloadsStatus{
			ObservedAt: metav1.NewTime(r.Now().Add(-r.Clock.Since(reading.Begun))), Sources: reading.Sources, Namespaces: reading.Namespaces,
		}
	}
	if !equality.Semantic.DeepEqual(before.Status, s.Status) {
		if err := r.Status().Patch(ctx, s, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("recording what workloads run: %w", err)
		}
	}
	handed := r.Handed.of(s.UID)
	if handed.reading == nil && reading == nil && (before.Status.Workloads == nil || s.Status.Workloads != nil) {
		return nil
	}
	if err := r.wake(ctx, s, handed.reading, reading); err != nil {
		return err
	}
	r.Handed.set(s.UID, handedReading{s.Generation, reading, v1alpha1.ReconcileNow(s)})
	return nil
}

// wake wakes the manifests of a store for which a reading differs from the one before. If
// there is none before, it also wakes those that workloads hold according to their status.
func (r *Reconciler) wake(ctx context.Context, s *v1alpha1.ArtifactStore, before, now *workload.Reading) error {
	changed := now.Changed(before)
	var all v1alpha1.ArtifactManifestList
	byStore := client.MatchingFields{reference.Field: reference.Key(reference.Self(s))}
	if err := r.List(ctx, &all, client.InNamespace(s.Namespace), byStore, client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return fmt.Errorf("finding the manifests of store %s: %w", s.Name, err)
	}
	for i := range all.Items {
		m := &all.Items[i]
		held := slices.ContainsFunc(m.Status.Dependents.Dependents, func(d v1alpha1.Dependent) bool { return reference.Runs(d.Kind) })
		concerned := changed[""] || slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return changed[a.Repository] })
		if !concerned && (before != nil || !held) {
			continue
		}
		select {
		case r.Wake <- event.GenericEvent{Object: &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name}}}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
