package artifact

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/mirror"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// maxDues is the most Artifacts whose next check is remembered. Others are checked in every pass.
const maxDues = 50_000

// checkBounds bound the passes that only ask registries. Passes that copy have separate bounds; see CopyBounds.
var checkBounds = lane.Bounds{All: 8, Slow: 2, Namespace: 6, Store: 4}

// Workers is how many passes of one namespace run at a time besides copies: those
// that may ask registries, and some that only find that nothing is due.
const Workers = 12

// CopyBounds returns how many images are copied at once. Copies of one
// namespace, of one source and of slow sources cannot take the last place.
func CopyBounds(copies int) lane.Bounds {
	most := max(1, copies-1)
	return lane.Bounds{All: copies, Slow: most, Namespace: most, Store: most}
}

// Reconciler reconciles Artifacts.
type Reconciler struct {
	client.Client
	// Live reads from the API server, without a cache.
	Live   client.Reader
	Mirror *mirror.Mirror
	// Store is the mirror's store.
	Store client.ObjectKey
	// Rules returns the rules by which images are mirrored.
	Rules  func(context.Context) (rewrite.Rules, error)
	Events events.EventRecorder
	Clock  clock.PassiveClock
	Now    func() time.Time // the API server's time
	// Checks is the lane of passes that ask registries, and Copies the lane of those that copy.
	Checks, Copies *lane.Lane

	// Woken gets the Artifacts for which a lane has a place.
	Woken chan event.GenericEvent

	dues   *lru.Cache[types.UID, due]
	speeds *lane.Speeds
	pace   limits
}

// due is when an Artifact is checked next.
type due struct {
	at time.Time
	// generation is the generation of the mirror's store at the last
	// check. Any other generation makes the Artifact due at once.
	generation int64
	// failures is how often in a row the Artifact has failed.
	failures int
	// given is how often in a row its copy has given up its place; see mostTurn.
	given int
	// copying is true if the last pass found that the image has to be copied, and no place was free.
	copying bool
}

// New completes a Reconciler.
func New(r Reconciler, speeds *lane.Speeds, copies int) (*Reconciler, error) {
	r.Woken, r.speeds, r.pace = wake.NewChannel(), speeds, defaultLimits
	next := wake.Next(r.Woken, func() client.Object { return &v1alpha1.Artifact{} })
	r.Checks, r.Copies = lane.New(checkBounds, speeds, r.Clock).Wake(next), lane.New(CopyBounds(copies), speeds, r.Clock).Wake(next)
	var err error
	if r.dues, err = lru.New[types.UID, due](maxDues); err != nil {
		return nil, fmt.Errorf("making the reconciler of Artifacts: %w", err)
	}
	return &r, nil
}

// Reconcile runs one pass over one Artifact.
func (r *Reconciler) Reconcile(ctx context.Context, a *v1alpha1.Artifact) (ctrl.Result, error) {
	if a.Releasing() || !a.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	s, err := r.situation(ctx, a)
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	if v, over := s.without(); over {
		return r.rest(ctx, a, s, v)
	}
	d, known := r.dues.Get(a.UID)
	now := v1alpha1.ReconcilesNow(s.reconcileNow, a.Status.LastReconcileNow)
	if known && !d.copying && !now && d.generation == s.store.Generation && r.Clock.Now().Before(d.at) {
		return ctrl.Result{RequeueAfter: d.at.Sub(r.Clock.Now())}, nil
	}
	return r.check(ctx, a, s, d)
}

// check asks the mirror and the source if there is a place, and acts on the answers.
func (r *Reconciler) check(ctx context.Context, a *v1alpha1.Artifact, s seen, d due) (ctrl.Result, error) {
	in := r.Checks
	if d.copying {
		in = r.copies(a, s, d)
	} else if mirrored, err := r.mirrors(ctx, s); err != nil || !mirrored {
		return r.unmirrored(ctx, a, s, err)
	}
	leave, wait := in.Enter(mirror.Place(a.Namespace, s.image), client.ObjectKeyFromObject(a))
	if leave == nil {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	defer func() { leave() }()
	r.observe(ctx, &s)
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	v := decide(s)
	if v.step >= stepTag && !d.copying {
		leave()
		if leave, wait = r.copies(a, s, d).Enter(mirror.Place(a.Namespace, s.image), client.ObjectKeyFromObject(a)); leave == nil {
			leave = func() {}
			return r.wait(ctx, a, s, v, wait)
		}
	}
	return r.finish(ctx, a, s, v)
}

// copies returns the lane of copies. If the source was slow in the last copy, it counts as slow
// from the start, so that the copy takes none of the places that slow sources may not have.
func (r *Reconciler) copies(a *v1alpha1.Artifact, s seen, d due) *lane.Lane {
	if d.given > 0 {
		r.speeds.Slow(mirror.Place(a.Namespace, s.image).UID)
	}
	return r.Copies
}

// unmirrored ends a pass over an image that the mirror does not copy, or for which that is unknown.
func (r *Reconciler) unmirrored(ctx context.Context, a *v1alpha1.Artifact, s seen, err error) (ctrl.Result, error) {
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	return r.rest(ctx, a, s, notMirrored)
}

// wait requeues an Artifact that must be copied for when there may be a place.
func (r *Reconciler) wait(ctx context.Context, a *v1alpha1.Artifact, s seen, v verdict, wait time.Duration) (ctrl.Result, error) {
	d, _ := r.dues.Get(a.UID)
	d.copying, d.generation = true, s.store.Generation
	r.dues.Add(a.UID, d)
	if v.state == v1alpha1.MirrorCopying {
		v.state, v.message = s.waits(), waiting
	}
	err := r.report(ctx, a, s, v)
	return pass.Finish(ctrl.Result{RequeueAfter: wait}, err)
}

// finish acts on the verdict and reports the outcome.
func (r *Reconciler) finish(ctx context.Context, a *v1alpha1.Artifact, s seen, v verdict) (ctrl.Result, error) {
	if v.step == stepRest {
		return r.rest(ctx, a, s, v)
	}
	if err := r.report(ctx, a, s, v); err != nil {
		return r.gone(err)
	}
	done, err := r.act(ctx, a, s, v)
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	return r.rest(ctx, a, s, conclude(s, v, done, err))
}

// rest writes the findings of a pass, and remembers when the next one is due.
func (r *Reconciler) rest(ctx context.Context, a *v1alpha1.Artifact, s seen, v verdict) (ctrl.Result, error) {
	before, _ := r.dues.Get(a.UID)
	d := due{}
	if s.store != nil {
		d.generation = s.store.Generation
	}
	tries := d.count(before, v)
	wait := v.pause.wait(tries)
	if v.pause.failed {
		v.message += fmt.Sprintf(" nfo tries again at %s.", r.Now().Add(wait).UTC().Format(time.RFC3339))
	}
	if err := r.report(ctx, a, s, v); err != nil {
		return r.gone(err)
	}
	if wait == 0 {
		r.dues.Remove(a.UID)
		return ctrl.Result{}, nil
	}
	d.at = r.Clock.Now().Add(wait)
	r.dues.Add(a.UID, d)
	return ctrl.Result{RequeueAfter: wait}, nil
}

// count continues the counts of before, and returns how often in a row passes have ended like this one.
func (d *due) count(before due, v verdict) (tries int) {
	const most = 20 // more doubles nothing
	if v.present == nil {
		d.given = before.given
	}
	switch {
	case v.pause.slow:
		d.given = min(d.given+1, most)
		return d.given
	case v.pause.failed:
		d.failures = min(before.failures+1, most)
	}
	return d.failures
}

// image returns the image of an Artifact. The reference must be complete, because the object's name is derived from it.
func image(a *v1alpha1.Artifact) (rewrite.Image, error) {
	i, err := rewrite.Parse(a.Spec.SourceArtifact)
	if err == nil && i.String() != a.Spec.SourceArtifact {
		err = fmt.Errorf("%w: in full it is %s", rewrite.ErrImage, i)
	}
	return i, err
}
