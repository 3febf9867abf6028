package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// ManifestReconciler reconciles ArtifactManifests.
type ManifestReconciler struct {
	client.Client
	holders    *reference.Finder
	registries *Registries
	releaser   *releaser
	polls      *polls
	readings   *readings
	catalogues *catalogues
	events     events.EventRecorder
	statuses   statuses
	polling    *lane
	releasing  *lane
}

// Reconcile runs one pass over one manifest.
func (r *ManifestReconciler) Reconcile(ctx context.Context, m *v1alpha1.ArtifactManifest) (ctrl.Result, error) {
	if err := hold(ctx, r.Client, m); err != nil {
		return finish(ctrl.Result{}, err)
	}
	before := m.DeepCopy()
	seen, err := r.observe(ctx, m)
	defer seen.leave()
	if err != nil {
		return finish(ctrl.Result{}, err)
	}
	verdict := decideManifest(seen)
	done, actErr := r.act(ctx, seen, verdict)
	verdict = verdict.after(seen, done, actErr)
	err = r.report(ctx, m, before, verdict, done)
	if verdict.letGo && unstorable(err) {
		err = nil // the status goes with the manifest; what was released is in tombstones
	}
	if err != nil {
		r.polls.again(m) // what was seen has not been written: look again
		return finish(ctrl.Result{}, err)
	}
	if err := r.annotate(ctx, m, verdict.answered); err != nil {
		return finish(ctrl.Result{}, err)
	}
	if verdict.letGo {
		r.polls.forget(m.UID)
		r.statuses.forget(m.UID)
		r.holders.Forget(m.UID)
		return finish(ctrl.Result{}, release(ctx, r.Client, m))
	}
	return finish(ctrl.Result{RequeueAfter: r.soonest(seen, verdict)}, actErr)
}

// soonest is when the next pass is wanted: soon, if other manifests have changed in what this one looks for since
// the catalogue was made: what they woke was this pass, or they could not wake it yet.
func (r *ManifestReconciler) soonest(seen manifestSeen, v manifestVerdict) time.Duration {
	if seen.elsewhere.catalogue != nil && !r.catalogues.current(reference.Self(seen.store), seen.elsewhere, seen.lacking) {
		return changedAge
	}
	return v.again
}

// report writes the status if the pass changed it, and then tells of transitions.
func (r *ManifestReconciler) report(ctx context.Context, m, before *v1alpha1.ArtifactManifest, v manifestVerdict, done manifestDone) error {
	m.Status.Artifacts, m.Status.Charts, m.Status.UpgradingFrom = v.artifacts, v.charts, v.upgradingFrom
	m.Status.Dependents = reference.Dependents(v.holders)
	v.conditions.apply(&m.Status.Conditions, m.Generation)
	if c := uploaded(m); c != nil && v.uploadedAsOf != nil {
		c.ObservedGeneration = *v.uploadedAsOf
	}
	same := equality.Semantic.DeepEqual(before.Status, m.Status)
	if same && len(done.putBack) == 0 { // a tag may have moved and be back in one pass
		return r.statuses.current(before)
	}
	defer done.tell(r.events, m) // also if the write fails: it is done, and the next pass will not know
	if !same {
		if err := r.statuses.write(ctx, r.Client, m); err != nil {
			return err
		}
	}
	r.readings.written(m)
	announce(r.events, m, before.Status.Conditions, m.Status.Conditions)
	for _, note := range done.moved {
		tagMoved(r.events, m, note)
	}
	return nil
}
