package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// noon is the time of a pass in these tests.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }

// theRuns returns the runs of a CronJob that is due at each midnight, was started today, and has these Jobs.
func theRuns(jobs ...batchv1.Job) purgeRuns {
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "acme-purge", UID: "cron", CreationTimestamp: ago(90 * 24 * time.Hour)}}
	cron.Spec.Schedule, cron.Spec.TimeZone = "0 0 * * *", new("Etc/UTC")
	cron.Status.LastScheduleTime = new(ago(12 * time.Hour))
	return purgeRuns{now: noon, cron: cron, jobs: jobs, facts: map[types.UID]runFact{}}
}

func (r purgeRuns) fact(job types.UID, f runFact) purgeRuns {
	r.facts[job] = f
	return r
}

func (r purgeRuns) with(change func(*purgeRuns)) purgeRuns {
	change(&r)
	return r
}

func (r purgeRuns) record(o v1alpha1.PurgeOutcome, completed metav1.Time) purgeRuns {
	r.recorded = &v1alpha1.PurgeRun{Outcome: o, CompletionTime: completed}
	return r
}

func aJob(name string, age time.Duration, change ...func(*batchv1.Job)) batchv1.Job {
	j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), CreationTimestamp: ago(age)}}
	j.Status.StartTime = new(ago(age))
	for _, c := range change {
		c(&j)
	}
	return j
}

// succeeded makes a Job one that succeeded an hour ago.
func succeeded(j *batchv1.Job) {
	j.Status.Succeeded = 1
	j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: ago(hour)}}
}

func failedBy(reason, message string, at time.Duration) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: ago(at)}}
	}
}

func runs(j *batchv1.Job) { j.Status.Active, j.Status.Ready = 1, new(int32(1)) }

func tries(failed int32) func(*batchv1.Job) { return func(j *batchv1.Job) { j.Status.Failed = failed } }

func aPod(phase corev1.PodPhase, age time.Duration, statuses ...corev1.ContainerStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod-x", CreationTimestamp: ago(age)},
		Status:     corev1.PodStatus{Phase: phase, ContainerStatuses: statuses},
	}
}

func waits(name, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func exited(name, reason, message string, code int32, started, finished time.Duration) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: reason, Message: message, ExitCode: code, StartedAt: ago(started), FinishedAt: ago(finished),
	}}}
}

const hour, minute, second = time.Hour, time.Minute, time.Second

func TestJudgeJobs(t *testing.T) {
	t.Parallel()
	quota := warning{reason: "FailedCreate", text: `pods "j-x" is forbidden: exceeded quota`, at: noon.Add(-2 * minute)}
	const untilLate = 12*hour + 10*minute // from noon to ten past the next midnight
	exceeded := failedBy(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit", 10*hour)
	tests := map[string]struct {
		reason string
		runs   purgeRuns
		want   string   // the reason of PurgeHealthy, "" for no trouble
		says   []string // parts of the message
		again  time.Duration
	}{
		"NoCronJob": {"nothing runs by itself", purgeRuns{now: noon}, "", nil, 0},
		"Quiet":     {"no Job is left, and the last run was on time", theRuns(), "", nil, untilLate},
		"Succeeded": {"the newest Job is well, whatever older ones were", theRuns(aJob("new", hour, succeeded), aJob("old", 12*hour, exceeded), aJob("stuck", 13*hour)), "", nil, untilLate},
		"Young":     {"a Job may take a minute to start", theRuns(aJob("j", 40*second)), "", nil, 20 * second},
		"Running":   {"its pod runs", theRuns(aJob("j", hour, runs)), "", nil, untilLate},

		"Quota": {"the pod is refused, which only an event says", theRuns(aJob("j", 5*minute)).fact("j", runFact{warning: quota}), "FailedCreate",
			[]string{`Job ns/j cannot create its pod: pods "j-x" is forbidden: exceeded quota. Change what refuses it`, "`kubectl delete job -n ns j`"}, minute},
		"QuotaOnRetry": {"the first pod ran, and the second one is refused", theRuns(aJob("j", 5*minute, tries(1))).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 5*minute, exited("purge", "Error", "", 1, 5*minute, 4*minute)), warning: quota,
		}), "FailedCreate", []string{"exceeded quota"}, minute},
		"BetweenTries": {"a pod failed, and the next one comes", theRuns(aJob("j", 5*minute, tries(1))).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 5*minute, exited("purge", "Error", "", 1, 5*minute, minute)), warning: quota,
		}), "", nil, minute},
		"Scheduled": {"beside a scheduled Job no other one starts", theRuns(aJob("j", 5*minute)).fact("j", runFact{warning: quota}).with(func(r *purgeRuns) {
			r.cron.Status.Active = []corev1.ObjectReference{{UID: "j"}}
		}), "FailedCreate", []string{"No scheduled purge starts while this Job is unfinished."}, minute},
		"NoPod":     {"nobody says why", theRuns(aJob("j", minute)), "NotStarted", []string{"has no pod, and no event says why", "`kubectl describe job -n ns j`"}, minute},
		"Suspended": {"somebody suspended the Job itself", theRuns(aJob("j", hour, func(j *batchv1.Job) { j.Spec.Suspend, j.Status.StartTime = new(true), nil })), "NotStarted", []string{"is suspended"}, minute},
		"Resumed":   {"it gets its minute from then", theRuns(aJob("j", hour, func(j *batchv1.Job) { j.Status.StartTime = new(ago(50 * second)) })), "", nil, 10 * second},
		"Unreadable": {"the API server did not answer", theRuns(aJob("j", hour)).fact("j", runFact{err: errors.New("pods is forbidden")}), "NotStarted",
			[]string{"has no running pod, and the reason cannot be read (pods is forbidden)"}, minute},

		"Image": {"the node cannot pull", theRuns(aJob("j", 5*minute)).fact("j", runFact{pod: aPod(corev1.PodPending, 4*minute, waits("purge", "ImagePullBackOff", `Back-off pulling image "nfo:1".`))}), "NotStarted",
			[]string{`Job ns/j has not started: pod pod-x is Pending with ImagePullBackOff: Back-off pulling image "nfo:1". Check that the nodes can pull the image`}, minute},
		"Config": {"a Secret is missing", theRuns(aJob("j", 5*minute)).fact("j", runFact{pod: aPod(corev1.PodPending, 4*minute, waits("purge", "CreateContainerConfigError", "secret not found"))}), "NotStarted",
			[]string{"CreateContainerConfigError: secret not found. `kubectl describe pod -n ns pod-x` shows more."}, minute},
		"Unschedulable": {"no node has room", theRuns(aJob("j", 5*minute)).fact("j", runFact{pod: func() *corev1.Pod {
			p := aPod(corev1.PodPending, 4*minute)
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"}}
			return p
		}()}), "NotStarted", []string{"is Pending with Unschedulable: 0/3 nodes are available. Make room"}, minute},
		"Volume": {"only an event says why", theRuns(aJob("j", 5*minute)).fact("j", runFact{
			pod: aPod(corev1.PodPending, 4*minute, waits("purge", "ContainerCreating", "")), warning: warning{reason: "FailedMount", text: "timed out"},
		}), "NotStarted", []string{"is Pending: FailedMount: timed out. Check the claim"}, minute},
		"PodYoung":      {"the quota was lifted a moment ago", theRuns(aJob("j", hour)).fact("j", runFact{pod: aPod(corev1.PodPending, 15*second)}), "", nil, 45 * second},
		"PodRuns":       {"it runs and is not ready yet", theRuns(aJob("j", hour)).fact("j", runFact{pod: aPod(corev1.PodRunning, minute)}), "", nil, minute},
		"StuckUnder":    {"a young Job hides no older one that waits", theRuns(aJob("young", 10*second), aJob("j", hour)).fact("j", runFact{warning: quota}), "FailedCreate", []string{"Job ns/j "}, 50 * second},
		"StuckOverFail": {"the newest fact wins", theRuns(aJob("j", hour), aJob("old", 12*hour, exceeded)).fact("j", runFact{warning: quota}), "FailedCreate", []string{"Job ns/j "}, minute},

		"Failed": {"the pod says why", theRuns(aJob("j", 12*hour, exceeded)).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 11*hour, exited("purge", "Error", "purging store ns/acme: no route to host", 1, 11*hour, 10*hour)),
		}), "Failed", []string{"Job ns/j failed with BackoffLimitExceeded: pod pod-x exited with code 1: purging store ns/acme: no route to host. `kubectl logs -n ns job/j` shows more. To purge at once: `kubectl create job -n ns --from=cronjob/acme-purge NAME`."}, untilLate},
		"StillFailed": {"until a new run has ended well, the old one counts", theRuns(aJob("new", hour, runs), aJob("j", 12*hour, exceeded)).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 11*hour, exited("purge", "OOMKilled", "", 137, 11*hour, 10*hour)),
		}), "Failed", []string{"pod pod-x ended with OOMKilled (exit code 137). Raise the memory limit"}, untilLate},
		"Log": {"a crash left the end of its log", theRuns(aJob("j", 12*hour, exceeded)).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 11*hour, exited("purge", "Error", "level=INFO msg=Read\npanic: nil map\n\ngoroutine 1 [running]:\n", 2, 11*hour, 10*hour)),
		}), "Failed", []string{"exited with code 2: nil map. "}, untilLate},
		"Evicted": {"the node ended it", theRuns(aJob("j", 12*hour, exceeded)).fact("j", runFact{pod: func() *corev1.Pod {
			p := aPod(corev1.PodFailed, 11*hour, exited("purge", "Error", "", 137, 11*hour, 10*hour))
			p.Status.Reason, p.Status.Message = "Evicted", "The node was low on resource: memory."
			return p
		}()}), "Failed", []string{"pod pod-x ended with Evicted: The node was low on resource: memory. "}, untilLate},
		"Sidecar": {"somebody injected a container; ours counts", theRuns(aJob("j", 12*hour, exceeded)).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 11*hour, exited("mesh", "Error", "no peer", 1, 11*hour, 10*hour), exited("purge", "Error", "no route to host", 1, 11*hour, 10*hour)),
		}), "Failed", []string{"no route to host"}, untilLate},
		"Deadline": {"its pods are deleted", theRuns(aJob("j", 12*hour, failedBy(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline", 6*hour))).
			record(v1alpha1.PurgeSucceeded, ago(8*hour)), "Failed", []string{"failed with DeadlineExceeded: Job was active longer than specified deadline. `kubectl describe job -n ns j`"}, untilLate},
		"NeverCreated": {"it gave up, and an event is left", theRuns(aJob("j", 12*hour, failedBy(batchv1.JobReasonDeadlineExceeded, "Job was active", 6*hour))).
			fact("j", runFact{warning: quota}), "Failed", []string{"it could not create its pod: pods"}, untilLate},

		"Recorded": {"the run itself wrote why it failed", theRuns(aJob("j", 12*hour, exceeded)).record(v1alpha1.PurgeFailed, ago(10*hour+5*second)).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 11*hour, exited("purge", "Error", "the same", 1, 11*hour, 10*hour)),
		}), "", nil, untilLate},
		"RecordedByEarlierTry": {"the last try died without a word", theRuns(aJob("j", 12*hour, exceeded)).record(v1alpha1.PurgeFailed, ago(11*hour)).fact("j", runFact{
			pod: aPod(corev1.PodFailed, 11*hour, exited("purge", "OOMKilled", "", 137, 10*hour+minute, 10*hour)),
		}), "Failed", []string{"OOMKilled"}, untilLate},
		"RecordedNoPod":  {"its pods were deleted", theRuns(aJob("j", 12*hour, exceeded)).record(v1alpha1.PurgeFailed, ago(10*hour+5*second)), "", nil, untilLate},
		"PurgedByHand":   {"a purge without a Job has succeeded since", theRuns(aJob("j", 12*hour, exceeded)).record(v1alpha1.PurgeSucceeded, ago(hour)), "", nil, untilLate},
		"StuckForAll":    {"a Job that waits goes on waiting, no matter who purged by hand", theRuns(aJob("j", 5*hour)).record(v1alpha1.PurgeSucceeded, ago(hour)).fact("j", runFact{warning: quota}), "FailedCreate", nil, minute},
		"RetryAfterFail": {"a Job by hand succeeded", theRuns(aJob("now", hour, succeeded), aJob("j", 12*hour, exceeded)), "", nil, untilLate},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, again := tc.runs.judge()
			if got == nil {
				got = &trouble{}
			}
			if got.reason != tc.want || again != tc.again {
				t.Errorf("%s: %q (%s), again after %s; want %q, after %s", tc.reason, got.reason, got.message, again, tc.want, tc.again)
			}
			for _, part := range tc.says {
				if !strings.Contains(got.message, part) {
					t.Errorf("%s: %q does not say %q", tc.reason, got.message, part)
				}
			}
		})
	}
}

func TestLateRuns(t *testing.T) {
	t.Parallel()
	cron := func(change func(*batchv1.CronJob)) purgeRuns {
		return theRuns().with(func(r *purgeRuns) { change(r.cron) })
	}
	scheduled := func(line string, last metav1.Time) purgeRuns {
		return cron(func(c *batchv1.CronJob) { c.Spec.Schedule, c.Status.LastScheduleTime = line, &last })
	}
	yesterday := func() purgeRuns { return scheduled("0 0 * * *", ago(36*hour)) }
	tests := map[string]struct {
		reason string
		runs   purgeRuns
		says   string // part of the message, "" when nothing is late
		again  time.Duration
	}{
		"OnTime":    {"today's run has started", theRuns(), "", 12*hour + 10*minute},
		"Missed":    {"today's run has not", yesterday(), "No purge has started since one was due at 2026-01-02T00:00:00Z.", 0},
		"Soon":      {"it may start 10 minutes late", scheduled("55 11 * * *", ago(24*hour)), "", 5 * minute},
		"Exactly":   {"and no longer", scheduled("50 11 * * *", ago(24*hour)), "due at 2026-01-02T11:50:00Z", 0},
		"Zone":      {"midnight in Auckland was at eleven here", cron(func(c *batchv1.CronJob) { c.Spec.TimeZone = new("Pacific/Auckland") }), "due at 2026-01-02T11:00:00Z", 0},
		"Suspended": {"nothing is to start", yesterday().with(func(r *purgeRuns) { r.cron.Spec.Suspend = new(true) }), "", 0},
		"Active":    {"Kubernetes waits for the run before", yesterday().with(func(r *purgeRuns) { r.cron.Status.Active = []corev1.ObjectReference{{Name: "j"}} }), "", 0},
		"New": {"a CronJob that never ran is counted from when it was made", cron(func(c *batchv1.CronJob) {
			c.Status.LastScheduleTime, c.CreationTimestamp = nil, ago(13*hour)
		}), "due at 2026-01-02T00:00:00Z", 0},
		"Changed": {"what was due before the schedule changed was never meant to run", yesterday().with(func(r *purgeRuns) {
			r.cron.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "nfo-manager", Time: new(ago(hour))}}
		}), "", 12*hour + 10*minute},
		"ChangedByOther": {"the status is written by another", yesterday().with(func(r *purgeRuns) {
			r.cron.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Subresource: "status", Time: new(ago(hour))}}
		}), "due at", 0},
		"ByHand":   {"a Job by hand came after", yesterday().with(func(r *purgeRuns) { r.jobs = []batchv1.Job{aJob("now", hour, succeeded)} }), "", 12*hour + 10*minute},
		"ByNfo":    {"a purge without a Job came after", yesterday().record(v1alpha1.PurgeSucceeded, ago(hour)), "", 12*hour + 10*minute},
		"LongRun":  {"the run before took until an hour ago", scheduled("0 */3 * * *", ago(12*hour)).with(func(r *purgeRuns) { r.jobs = []batchv1.Job{aJob("j", 12*hour, succeeded)} }), "", 10 * minute},
		"Never":    {"no 30 February", scheduled("0 0 30 2 *", ago(24*hour)), "", 0},
		"Unparsed": {"Kubernetes reports it", scheduled("never", ago(24*hour)), "", 0},
		"Why": {"nothing may be created there", yesterday().fact("cron", runFact{warning: warning{reason: "FailedCreate", text: "jobs.batch is forbidden"}}),
			"The newest warning about CronJob ns/acme-purge is FailedCreate: jobs.batch is forbidden. Check that kube-controller-manager runs", 0},
		"OverFailed": {"the newest fact wins", yesterday().with(func(r *purgeRuns) {
			r.jobs = []batchv1.Job{aJob("j", 36*hour, failedBy("BackoffLimitExceeded", "", 36*hour))}
		}), "No purge has started", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, again := tc.runs.judge()
			if got == nil {
				got = &trouble{}
			}
			if again != tc.again || (got.reason == "Late") != (tc.says != "") || !strings.Contains(got.message, tc.says) {
				t.Errorf("%s: %q (%s), again after %s; want %q, after %s", tc.reason, got.reason, got.message, again, tc.says, tc.again)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"It is so.":                   "It is so",
		" two\nlines\tand\x1b[31m ":   "two lines and?[31m",
		strings.Repeat("é", maxQuote): strings.Repeat("é", (maxQuote-3)/2) + "...",
	} {
		if got := quote(text); got != want {
			t.Errorf("%q is quoted as %q, want %q", text, got, want)
		}
	}
}
