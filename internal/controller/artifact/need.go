package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload"
)

// How often the needed images are read; how soon they are read again if something
// could not be read or written; and the shortest time between two readings, which is
// needApart or needRest times the duration of the last reading, whichever is longer.
const (
	needWell   = 10 * time.Minute
	needFailed = time.Minute
	needApart  = 20 * time.Second
	needRest   = 10
)

// +kubebuilder:rbac:groups=nfo.dev,resources=artifacts,verbs=create
// +kubebuilder:rbac:groups=nfo.dev,resources=artifacts/status,verbs=patch

// NeedReconciler keeps Artifacts in line with the mirrored images that workloads need. It creates missing
// Artifacts, and writes to each which workloads use it, or since when none does. It reconciles the mirror's
// store, with one worker. Nothing is removed because of what it writes: a purge reads workloads again.
type NeedReconciler struct {
	client.Client
	// Live lists namespaces from the API server, without a cache.
	Live client.Reader
	// Images reads which images workloads use.
	Images func(context.Context, *v1alpha1.ArtifactStore, workload.Find) (*workload.Reading, error)
	// Watched are the namespaces that the manager acts in.
	Watched reference.Watched
	// Mirror is the mirror's store.
	Mirror client.ObjectKey
	// Rules returns the rules by which images are mirrored, and for which namespaces.
	Rules func(context.Context) (rewrite.Rules, error)
	Clock clock.PassiveClock
	Now   func() time.Time // the API server's time

	// begun is when the last reading began, and took how long it took.
	begun time.Time
	took  time.Duration
}

// Reconcile reads and writes what is needed, if it is time to: every
// 10 minutes, and soon after Artifacts were created or deleted.
func (r *NeedReconciler) Reconcile(ctx context.Context, mirror *v1alpha1.ArtifactStore) (ctrl.Result, error) {
	if client.ObjectKeyFromObject(mirror) != r.Mirror || mirror.Spec.Mirror == nil || !mirror.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if wait := max(needApart, needRest*r.took) - r.Clock.Since(r.begun); !r.begun.IsZero() && wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	r.begun = r.Clock.Now()
	n, err := r.read(ctx, mirror)
	r.took = r.Clock.Since(r.begun) // not including the writes, which have their own rate
	if err == nil {
		err = r.write(ctx, n)
		// If graces have to begin anew, that must still happen when
		// this process ends now, or when some could not be written.
		if !n.lapsed || !errors.As(err, new(errUnwritten)) {
			err = errors.Join(err, r.record(ctx, mirror, n))
		}
	}
	if err != nil && ctx.Err() == nil { // an error about one object must not cause a reading of the whole cluster at once
		log.FromContext(ctx).Error(err, "Writing which images are needed")
	}
	if !n.whole || err != nil {
		return ctrl.Result{RequeueAfter: needFailed}, ctx.Err()
	}
	return ctrl.Result{RequeueAfter: needWell}, nil
}

// read reads the cluster, and decides what follows.
func (r *NeedReconciler) read(ctx context.Context, mirror *v1alpha1.ArtifactStore) (need, error) {
	rules, err := r.Rules(ctx)
	if err != nil {
		return need{}, err
	}
	var artifacts v1alpha1.ArtifactList
	if err := r.List(ctx, &artifacts, client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return need{}, fmt.Errorf("listing artifacts: %w", err)
	}
	known := rewrite.Known(artifacts.Items)
	reading, err := r.Images(ctx, mirror, rewrite.Used(mirror.Spec.Mirror.PullAddress, func(i rewrite.Image) bool { return known[i.Path()] || rules.Mirrors(i) }))
	if err != nil {
		return need{}, fmt.Errorf("reading which images workloads use: %w", err)
	}
	// After the workloads, so that the list has every namespace in which a workload was seen.
	namespaces, err := r.namespaces(ctx)
	if err != nil {
		return need{}, err
	}
	n := need{
		rules: rules, watched: r.Watched, namespaces: namespaces, reading: reading, counts: counts(artifacts.Items), now: metav1.NewTime(r.Now()),
		whole: reading.Unreadable() == nil, lapsed: mirror.Status.Workloads.Lapsed(r.Now()),
	}
	n.plan(artifacts.Items, reading.ByNamespace())
	return n, nil
}

// counts counts Artifacts by state. An image that is not mirrored is not a failure, because nothing tries to copy it.
func counts(artifacts []v1alpha1.Artifact) *v1alpha1.ArtifactCounts {
	c := &v1alpha1.ArtifactCounts{Total: int32(len(artifacts))}
	for i := range artifacts {
		switch artifacts[i].Status.State {
		case v1alpha1.MirrorPresent:
			c.Present++
		case v1alpha1.MirrorFailed:
			if ready := apimeta.FindStatusCondition(artifacts[i].Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != v1alpha1.ReasonNotMirrored {
				c.Failed++
			}
		}
		if artifacts[i].Status.UnusedSince != nil {
			c.Unused++
		}
	}
	return c
}

// record writes to the mirror's store which sources could be read.
func (r *NeedReconciler) record(ctx context.Context, mirror *v1alpha1.ArtifactStore, n need) error {
	before := mirror.DeepCopy()
	mirror.Status.Workloads = &v1alpha1.WorkloadsStatus{ObservedAt: metav1.NewTime(r.Now().Add(-r.Clock.Since(n.reading.Begun))), Sources: n.reading.Sources}
	if mirror.Status.Artifacts = n.counts; equality.Semantic.DeepEqual(before.Status, mirror.Status) {
		return nil
	}
	if err := r.Status().Patch(ctx, mirror, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("recording what workloads run: %w", err)
	}
	return nil
}

// namespace has the properties of a namespace that decide whether its images are mirrored.
type namespace struct {
	labels map[string]string
	// ending is true if the namespace is being deleted.
	ending bool
}

// namespaces lists all namespaces from the API server, without a cache.
func (r *NeedReconciler) namespaces(ctx context.Context) (map[string]namespace, error) {
	all := map[string]namespace{}
	err := livelist.Namespaces(ctx, r.Live, func(n *metav1.PartialObjectMetadata) {
		all[n.Name] = namespace{labels: n.Labels, ending: n.DeletionTimestamp != nil}
	})
	return all, err
}
