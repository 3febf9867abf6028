package manifest

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	chartcontroller "github.com/nfo-operator/nfo/internal/controller/chart"
	"github.com/nfo-operator/nfo/internal/controller/manifest/polls"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/workload"
)

// messageDelay is how long a status change waits that only says that a holder is itself being
// deleted. Usually the holder is gone before that, and the message would be out of date.
const messageDelay = 20 * time.Second

// Reconciler reconciles ArtifactManifests.
type Reconciler struct {
	client.Client
	Holders    *reference.Finder
	Registries *backend.Registries
	Releaser   *release.Releaser
	Polls      *polls.Polls
	Readings   *chartcontroller.Readings
	Catalogues *Catalogues
	// Workloads has the last readings of what workloads run; nil if workloads are not read.
	Workloads *workload.Known
	// Now returns the API server's time.
	Now    func() time.Time
	Events events.EventRecorder
	// Released remembers which manifests have been released.
	Released  *pass.Released
	statuses  pass.Statuses
	Polling   *lane.Lane
	Releasing *lane.Lane
}

// Reconcile runs one pass over one manifest.
func (r *Reconciler) Reconcile(ctx context.Context, m *v1alpha1.ArtifactManifest) (ctrl.Result, error) {
	if err := pass.Protect(ctx, r.Client, m); err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	before := m.DeepCopy()
	seen, err := r.observe(ctx, m)
	defer seen.leave()
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	verdict := decideManifest(seen)
	if before, err = r.reportWait(ctx, m, before, seen, verdict); err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	done, actErr := r.act(ctx, seen, verdict)
	verdict = verdict.after(seen, done, actErr)
	// A status that cannot be stored does not matter once the
	// manifest is released: the tombstones have what was released.
	settle, err := r.report(ctx, m, before, verdict, done)
	if err != nil && (!verdict.letGo || !pass.Unstorable(err)) {
		r.Polls.Again(m) // the status does not have this poll's findings: poll again
		return pass.Finish(ctrl.Result{}, err)
	}
	if err := r.annotate(ctx, m, verdict.answered); err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	if verdict.letGo {
		return pass.Finish(ctrl.Result{}, r.Released.Unprotect(ctx, r.Client, m))
	}
	return pass.Finish(ctrl.Result{RequeueAfter: pass.Sooner(settle, r.soonest(seen, verdict))}, actErr)
}

// Forget drops everything remembered of a manifest that no longer exists.
func (r *Reconciler) Forget(uid types.UID) {
	r.Polls.Forget(uid)
	r.statuses.Forget(uid)
	r.Holders.Forget(uid)
	r.Readings.Forget(uid)
}

// reportWait writes what a release waits for before the release begins, because a registry that
// does not answer can delay it for a minute or more. It returns the manifest as it was last stored.
func (r *Reconciler) reportWait(ctx context.Context, m, before *v1alpha1.ArtifactManifest, seen manifestSeen, v manifestVerdict) (*v1alpha1.ArtifactManifest, error) {
	reason, message := seen.waits(v)
	if reason == "" {
		return before, nil
	}
	if err := r.statuses.Current(before); err != nil {
		return before, err
	}
	// It does not set Referenced to False, and leaves the recorded
	// dependents in place: the release reads those by name, too.
	var says pass.Conditions
	says.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, reason, message)
	says.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted; DeletionBlocked says what it waits for.")
	says.Apply(&m.Status.Conditions, m.Generation)
	if err := r.statuses.Write(ctx, r.Client, m); err != nil {
		return before, err
	}
	pass.Announce(r.Events, m, before.Status.Conditions, m.Status.Conditions)
	return m.DeepCopy(), nil
}

// soonest returns how long until the next pass. It is changedAge if other manifests
// have changed since the catalogue was made, in artifacts that this manifest looks
// for: that change either caused this pass, or could not wake the manifest yet.
func (r *Reconciler) soonest(seen manifestSeen, v manifestVerdict) time.Duration {
	if seen.elsewhere.Catalogue != nil && !r.Catalogues.current(reference.Self(seen.store), seen.elsewhere, seen.lacking) {
		return changedAge
	}
	return v.again
}

// report writes the status if the pass changed it, unless the manifest is about to disappear, and then records
// transitions as events. settle, when not 0, is how long a change stays unwritten; the next pass writes it.
func (r *Reconciler) report(ctx context.Context, m, before *v1alpha1.ArtifactManifest, v manifestVerdict, done manifestDone) (settle time.Duration, err error) {
	defer done.tell(r.Events, m) // whatever becomes of the status: the tags have changed, and the next pass will not know
	if v.silent {
		return 0, nil
	}
	m.Status.Artifacts, m.Status.Charts, m.Status.UpgradingFrom = v.artifacts, v.charts, v.upgradingFrom
	m.Status.Dependents = v.dependents(before.Status.Dependents)
	m.Status.ObservedGeneration, m.Status.LastReconcileNow = m.Generation, v.now
	v.conditions.Apply(&m.Status.Conditions, m.Generation)
	if c := inventory.Uploaded(m); c != nil && v.uploadedAsOf != nil {
		c.ObservedGeneration = *v.uploadedAsOf
	}
	same := equality.Semantic.DeepEqual(before.Status, m.Status)
	if same && len(done.reseat) == 0 { // a tag may have been overwritten and restored in one pass
		return 0, r.statuses.Unchanged(before)
	}
	if v.waiting && onlyWords(before.Status, m.Status) {
		if settle = r.statuses.Settle(m, r.Polls.Clock.Now(), messageDelay); settle > 0 {
			return settle, r.statuses.Current(before)
		}
	}
	if !same && (!v.letGo || !pass.Goes(m)) {
		if err := r.statuses.Write(ctx, r.Client, m); err != nil {
			return 0, err
		}
	}
	r.Readings.Written(m)
	pass.Announce(r.Events, m, before.Status.Conditions, m.Status.Conditions)
	for _, note := range done.moved {
		pass.TagMoved(r.Events, m, note)
	}
	return 0, nil
}

// dependents returns what the status reports of the holders.
func (v manifestVerdict) dependents(recorded v1alpha1.Dependents) v1alpha1.Dependents {
	if v.doubted {
		return reference.LastDependents(recorded)
	}
	return reference.Dependents(v.holders)
}

// onlyWords reports whether two statuses of a manifest differ at most in the messages about the same holders.
func onlyWords(before, after v1alpha1.ArtifactManifestStatus) bool {
	same := pass.SameState(before.Conditions, after.Conditions)
	after.Conditions = before.Conditions
	return same && equality.Semantic.DeepEqual(before, after)
}
