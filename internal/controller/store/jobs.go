package store

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/schedule"
)

const (
	// startPatience is how long a Job, and then its pod, may take to start.
	startPatience = time.Minute
	// latePatience is how long after its scheduled time a run may start.
	// It is less than the hour after which Kubernetes skips a run.
	latePatience = 10 * time.Minute
)

// purgeRuns is what a pass knows about the runs of a store's purge. Its methods are pure.
type purgeRuns struct {
	now      time.Time
	cron     *batchv1.CronJob      // nil if there is none
	jobs     []batchv1.Job         // Jobs of cron, newest first
	recorded *v1alpha1.PurgeRun    // the last result that a purge wrote; nil if there is none
	facts    map[types.UID]runFact // by Job or CronJob, read live because their own status does not say enough
}

// runFact is what was read live about a Job or a CronJob.
type runFact struct {
	pod     *corev1.Pod // the Job's newest pod; nil if there is none
	warning warning     // the newest warning about the Job, the CronJob, or a pod that waits
	err     error       // why the facts could not be read
}

// warning is an event; text is "" if there is none.
type warning struct {
	reason, text string
	at           time.Time
}

// trouble is why purges do not run as they should.
type trouble struct{ reason, message string }

// judge returns what is wrong with the newest run, nil if nothing is, and after how long
// the answer may change just because time passes, 0 for never. The newest fact decides:
// first a Job that does not start, then a run that is late, then a Job that failed.
func (r purgeRuns) judge() (*trouble, time.Duration) {
	if r.cron == nil {
		return nil, 0
	}
	wake := alarm{now: r.now}
	for _, j := range r.unfinished() {
		wake.at(begun(&j).Add(startPatience))
	}
	var found *trouble
	if j := r.waiting(); j != nil {
		found = r.notStarted(j, &wake)
	}
	due := r.due()
	if !due.IsZero() {
		wake.at(due.Add(latePatience))
	}
	if found == nil && r.late() {
		found = r.isLate(due)
	}
	if j := r.failed(); found == nil && j != nil {
		found = r.hasFailed(j)
	}
	return found, wake.after
}

// alarm is the earliest of some future times, as a duration from now; 0 if there is none.
type alarm struct {
	now   time.Time
	after time.Duration
}

func (a *alarm) at(t time.Time) {
	if after := t.Sub(a.now); after > 0 && (a.after == 0 || after < a.after) {
		a.after = after
	}
}

// unfinished returns the Jobs that are newer than the newest finished one. Older Jobs no longer matter.
func (r purgeRuns) unfinished() []batchv1.Job {
	for i := range r.jobs {
		if end, _ := conclusion(&r.jobs[i]); end != nil {
			return r.jobs[:i]
		}
	}
	return r.jobs
}

// waiting returns the newest unfinished Job that has had its time to start and
// has no running pod; nil if there is none. Its pod has to be read to know more.
func (r purgeRuns) waiting() *batchv1.Job {
	jobs := r.unfinished()
	for i := range jobs {
		j := &jobs[i]
		if j.Status.Succeeded == 0 && (j.Status.Ready == nil || *j.Status.Ready == 0) && !r.now.Before(begun(j).Add(startPatience)) {
			return j
		}
	}
	return nil
}

// failed returns the newest finished Job if it failed and no purge has written a result since; nil otherwise.
func (r purgeRuns) failed() *batchv1.Job {
	n := len(r.unfinished())
	if n == len(r.jobs) {
		return nil
	}
	j := &r.jobs[n]
	end, failed := conclusion(j)
	if !failed || r.recordedSince(end.LastTransitionTime.Time) {
		return nil
	}
	return j
}

// recordedSince reports whether a purge has written its result at or after a time. Both are in whole seconds.
func (r purgeRuns) recordedSince(t time.Time) bool {
	return r.recorded != nil && !r.recorded.CompletionTime.Time.Before(t.Truncate(time.Second))
}

// due returns when the next run should start: the next time of the CronJob's schedule after the
// last sign of a run. It is zero if no run is to start: if the schedule has no further time,
// while it is suspended, and while a run is active, because Kubernetes starts no second one.
func (r purgeRuns) due() time.Time {
	spec := r.cron.Spec
	if len(r.cron.Status.Active) > 0 || (spec.Suspend != nil && *spec.Suspend) {
		return time.Time{}
	}
	by, ok := r.schedule()
	if !ok {
		return time.Time{}
	}
	last := cronjob.ScheduledSince(r.cron)
	sign := func(t *metav1.Time) {
		if t != nil && t.After(last) {
			last = t.Time
		}
	}
	sign(r.cron.Status.LastScheduleTime)
	if r.recorded != nil {
		sign(&r.recorded.CompletionTime)
	}
	for i := range r.jobs {
		sign(&r.jobs[i].CreationTimestamp)
		if end, _ := conclusion(&r.jobs[i]); end != nil {
			sign(&end.LastTransitionTime)
		}
	}
	return by.Next(last)
}

// late reports whether a run has been due for longer than latePatience.
func (r purgeRuns) late() bool {
	due := r.due()
	return !due.IsZero() && !r.now.Before(due.Add(latePatience))
}

// next returns the next time of the schedule after now; zero if there is none, or if the schedule is suspended.
func (r purgeRuns) next() time.Time {
	if r.cron == nil || (r.cron.Spec.Suspend != nil && *r.cron.Spec.Suspend) {
		return time.Time{}
	}
	by, ok := r.schedule()
	if !ok {
		return time.Time{}
	}
	return by.Next(r.now)
}

// schedule returns the CronJob's own schedule; false if it cannot be parsed, about which Kubernetes warns.
func (r purgeRuns) schedule() (schedule.Schedule, bool) {
	zone := ""
	if r.cron.Spec.TimeZone != nil {
		zone = *r.cron.Spec.TimeZone
	}
	by, err := schedule.Parse(r.cron.Spec.Schedule, zone)
	return by, err == nil
}

// begun returns since when a Job may start a pod. That is later than its creation if it was suspended at first.
func begun(j *batchv1.Job) time.Time {
	if j.Status.StartTime != nil && j.Status.StartTime.After(j.CreationTimestamp.Time) {
		return j.Status.StartTime.Time
	}
	return j.CreationTimestamp.Time
}

// conclusion returns the condition with which a Job ended, and whether it failed; nil if it has not ended.
func conclusion(j *batchv1.Job) (end *batchv1.JobCondition, failed bool) {
	for i := range j.Status.Conditions {
		c := &j.Status.Conditions[i]
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c, c.Type == batchv1.JobFailed
		}
	}
	return nil, false
}
