package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

const (
	// factLimit is the longest time that the live reads of one pass may take.
	factLimit = 10 * time.Second
	// maxPods and maxWarnings are the most objects that are read about one Job. A Job
	// has at most one pod for each try, and Kubernetes combines events that repeat.
	maxPods     = 16
	maxWarnings = 100
)

// runs reads the CronJob of a store's purge and its Jobs from the cache. For Jobs whose own status
// does not say enough, at most one that waits and one that failed, it reads pods and events live.
func (r *Reconciler) runs(ctx context.Context, s *v1alpha1.ArtifactStore) (purgeRuns, error) {
	found := purgeRuns{now: r.Now(), recorded: s.Status.LastPurge, facts: map[types.UID]runFact{}}
	cron := &batchv1.CronJob{}
	err := r.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: cronjob.ObjectName(s.Name)}, cron)
	if err != nil {
		return found, client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(cron, s) || !cron.DeletionTimestamp.IsZero() {
		return found, nil
	}
	var jobs batchv1.JobList
	if err := r.List(ctx, &jobs, client.InNamespace(s.Namespace), client.MatchingFields{wake.JobByCronJob: cron.Name}); err != nil {
		return found, fmt.Errorf("listing the Jobs of CronJob %s: %w", cron.Name, err)
	}
	found.cron, found.jobs = cron, slices.DeleteFunc(jobs.Items, func(j batchv1.Job) bool {
		return cronjob.OwnerCronJob(&j).UID != cron.UID || !j.DeletionTimestamp.IsZero() || cronjob.LooksOnly(&j)
	})
	slices.SortFunc(found.jobs, func(a, b batchv1.Job) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	})
	r.readFacts(ctx, &found)
	return found, nil
}

// readFacts reads live what the Jobs' own status does not say. A read that fails is recorded as a fact, too.
func (r *Reconciler) readFacts(ctx context.Context, found *purgeRuns) {
	ctx, cancel := context.WithTimeout(ctx, factLimit)
	defer cancel()
	for _, j := range []*batchv1.Job{found.waiting(), found.failed()} {
		if j != nil {
			found.facts[j.UID] = r.aboutJob(ctx, j)
		}
	}
	if found.late() {
		// The CronJob also warns about every Job that people create.
		w, err := r.newestWarning(ctx, found.cron, fields.OneTermNotEqualSelector("reason", "UnexpectedJob"))
		found.facts[found.cron.UID] = runFact{warning: w, err: err}
	}
}

// aboutJob reads the newest pod of a Job. It also reads the newest warning: about the
// pod if the pod waits without saying why, or about the Job if no pod is left to run.
func (r *Reconciler) aboutJob(ctx context.Context, j *batchv1.Job) (f runFact) {
	var pods corev1.PodList
	f.err = r.Live.List(ctx, &pods, client.InNamespace(j.Namespace), client.MatchingLabels{batchv1.ControllerUidLabel: string(j.UID)}, client.Limit(maxPods))
	if f.err != nil {
		return f
	}
	if len(pods.Items) > 0 {
		newest := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
		f.pod = &newest
	}
	end, _ := conclusion(j)
	switch {
	case f.pod == nil || (f.pod.Status.Phase == corev1.PodFailed && end == nil):
		f.warning, f.err = r.newestWarning(ctx, j, fields.OneTermEqualSelector("reason", "FailedCreate"))
	case f.pod.Status.Phase == corev1.PodPending:
		if reason, _ := tellsWhy(f.pod); reason == "" {
			f.warning, f.err = r.newestWarning(ctx, f.pod, fields.Everything())
		}
	}
	return f
}

// newestWarning reads the newest warning event about an object, among those that match a selector.
func (r *Reconciler) newestWarning(ctx context.Context, about client.Object, which fields.Selector) (warning, error) {
	var events corev1.EventList
	err := r.Live.List(ctx, &events, client.InNamespace(about.GetNamespace()), client.Limit(maxWarnings), client.MatchingFieldsSelector{Selector: fields.AndSelectors(
		fields.OneTermEqualSelector("involvedObject.uid", string(about.GetUID())), fields.OneTermEqualSelector("type", corev1.EventTypeWarning), which)})
	if err != nil || len(events.Items) == 0 {
		return warning{}, err
	}
	newest := slices.MaxFunc(events.Items, func(a, b corev1.Event) int { return seenLast(&a).Compare(seenLast(&b)) })
	text := strings.TrimPrefix(newest.Message, "(combined from similar events): ")
	return warning{reason: newest.Reason, text: quote(strings.TrimPrefix(text, "Error creating: ")), at: seenLast(&newest)}, nil
}

// seenLast returns when an event last happened, which is the latest of its times.
func seenLast(e *corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	also := func(t time.Time) {
		if t.After(last) {
			last = t
		}
	}
	also(e.LastTimestamp.Time)
	also(e.EventTime.Time)
	if e.Series != nil {
		also(e.Series.LastObservedTime.Time)
	}
	return last
}
