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

// How often it is read which images are needed, how soon again where something could not be read or written, and how far
// apart two readings are at least: needApart, and needRest times as long as the last one took.
const (
	needWell   = 10 * time.Minute
	needFailed = time.Minute
	needApart  = 20 * time.Second
	needRest   = 10
)

// +kubebuilder:rbac:groups=nfo.dev,resources=artifacts,verbs=create
// +kubebuilder:rbac:groups=nfo.dev,resources=artifacts/status,verbs=patch

// NeedReconciler keeps it known which images the workloads need that are mirrored: it makes the Artifacts that are
// missing, and writes to each who uses it, and since when nothing does. It reconciles the mirror's store, and is used by
// one worker. Nothing is removed on what it writes: a purge reads anew.
type NeedReconciler struct {
	client.Client
	// Live lists namespaces from the API server itself.
	Live client.Reader
	// Images reads which images workloads use.
	Images func(context.Context, *v1alpha1.ArtifactStore, workload.Find) (*workload.Reading, error)
	// Watched are the namespaces that the manager acts in.
	Watched reference.Watched
	// Mirror is the mirror's store.
	Mirror client.ObjectKey
	// Rules say which images are mirrored, and whose.
	Rules func(context.Context) (rewrite.Rules, error)
	Clock clock.PassiveClock
	Now   func() time.Time // the API server's

	// begun is when it was read last, and took how long that took.
	begun time.Time
	took  time.Duration
}

// Reconcile reads, if it is time to: now and then, and soon after Artifacts were made or removed.
func (r *NeedReconciler) Reconcile(ctx context.Context, mirror *v1alpha1.ArtifactStore) (ctrl.Result, error) {
	if client.ObjectKeyFromObject(mirror) != r.Mirror || mirror.Spec.Mirror == nil || !mirror.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if wait := max(needApart, needRest*r.took) - r.Clock.Since(r.begun); !r.begun.IsZero() && wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	r.begun = r.Clock.Now()
	n, err := r.read(ctx, mirror)
	r.took = r.Clock.Since(r.begun) // writing has a pace of its own
	if err == nil {
		err = r.write(ctx, n)
		// Graces that are to begin anew do so also if this process ends in between, or some could not be written.
		if !n.lapsed || !errors.As(err, new(errUnwritten)) {
			err = errors.Join(err, r.record(ctx, mirror, n))
		}
	}
	if err != nil && ctx.Err() == nil { // what is wrong with one object must not have the whole cluster read again at once
		log.FromContext(ctx).Error(err, "Writing which images are needed")
	}
	if !n.whole || err != nil {
		return ctrl.Result{RequeueAfter: needFailed}, ctx.Err()
	}
	return ctrl.Result{RequeueAfter: needWell}, nil
}

// read reads the cluster, and says what follows.
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
	// Afterwards, so that a namespace in which something runs is among them.
	namespaces, err := r.namespaces(ctx)
	if err != nil {
		return need{}, err
	}
	n := need{
		rules: rules, watched: r.Watched, namespaces: namespaces, reading: reading, counts: counts(artifacts.Items), now: metav1.NewTime(r.Now()),
		whole: reading.Unreadable() == nil, lapsed: mirror.Status.Workloads.Lapsed(r.Now()),
	}
	n.sort(artifacts.Items, reading.ByNamespace())
	return n, nil
}

// counts counts Artifacts by what the mirror has of them. That an image is not mirrored is no failure: nobody tries.
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

// record writes to the mirror's store what could be read.
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

// namespace is what of a namespace decides whether its workloads are mirrored.
type namespace struct {
	labels map[string]string
	// ending: it is being deleted.
	ending bool
}

// namespaces reads all of them, from the API server itself.
func (r *NeedReconciler) namespaces(ctx context.Context) (map[string]namespace, error) {
	all := map[string]namespace{}
	err := livelist.Namespaces(ctx, r.Live, func(n *metav1.PartialObjectMetadata) {
		all[n.Name] = namespace{labels: n.Labels, ending: n.DeletionTimestamp != nil}
	})
	return all, err
}
