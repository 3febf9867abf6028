package integration

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/test/environment"
)

// The cluster of these tests has the controllers of CronJobs, Jobs and
// quotas, and no node. The tests write the status of pods as a kubelet would.

// ahead is a clock that is ahead of the real one, so that tests need not wait.
type ahead time.Duration

func (a ahead) Now() time.Time { return time.Now().Add(time.Duration(a)) }

func (a ahead) Since(t time.Time) time.Duration { return a.Now().Sub(t) }

// early gives a manager a clock that is ahead.
func early(by time.Duration) func(*environment.ManagerOptions) {
	return func(o *environment.ManagerOptions) { o.Clock = ahead(by) }
}

// headStart makes the manager report an unstarted Job ten seconds after its creation instead of a minute.
const headStart = 50 * time.Second

func everyMinute(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Schedule = new("* * * * *") }

// quota creates a quota in the scene's namespace and waits until it is in force.
func (s *scene) quota(name corev1.ResourceName, most string) *corev1.ResourceQuota {
	s.t.Helper()
	q := &corev1.ResourceQuota{ObjectMeta: s.meta("quota"), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse(most)}}}
	s.create(q)
	s.Eventually(func() int {
		s.Expect(env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(q), q)).To(gomega.Succeed())
		return len(q.Status.Hard)
	}).Should(gomega.Equal(1))
	return q
}

// byHand starts a purge as `kubectl create job NAME --from=cronjob/acme-purge` does.
func (s *scene) byHand(name string, change ...func(*batchv1.Job)) {
	s.t.Helper()
	cron := &batchv1.CronJob{ObjectMeta: s.meta("acme-purge")}
	s.Expect(env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(cron), cron)).To(gomega.Succeed())
	j := &batchv1.Job{ObjectMeta: s.meta(name), Spec: cron.Spec.JobTemplate.Spec}
	j.Labels, j.Annotations = cron.Spec.JobTemplate.Labels, map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}
	j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: cron.Name, UID: cron.UID, Controller: new(true)}}
	for _, c := range change {
		c(j)
	}
	s.create(j)
}

// jobs returns the Jobs of the scene.
func (s *scene) jobs() []batchv1.Job {
	s.t.Helper()
	var l batchv1.JobList
	s.Expect(env.Client.List(s.t.Context(), &l, client.InNamespace(s.ns))).To(gomega.Succeed())
	return l.Items
}

// podOf waits for the pod of a Job.
func (s *scene) podOf(job string) *corev1.Pod {
	s.t.Helper()
	var l corev1.PodList
	s.Eventually(func() int {
		s.Expect(env.Client.List(s.t.Context(), &l, client.InNamespace(s.ns), client.MatchingLabels{batchv1.JobNameLabel: job})).To(gomega.Succeed())
		return len(l.Items)
	}).Should(gomega.Equal(1))
	return &l.Items[0]
}

// kubelet writes the status of a Job's pod as a kubelet would.
func (s *scene) kubelet(job string, phase corev1.PodPhase, state corev1.ContainerState) {
	s.t.Helper()
	pod := s.podOf(job)
	s.Eventually(func() error {
		if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		pod.Status.Phase = phase
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: cronjob.ContainerName, Image: purgerImage, State: state}}
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
		if phase == corev1.PodRunning {
			pod.Status.Conditions[0].Status = corev1.ConditionTrue
		}
		return env.Client.Status().Update(s.t.Context(), pod)
	}).Should(gomega.Succeed())
}

// exits returns the state of a container that has ended.
func exits(code int32, reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, StartedAt: metav1.Now(), FinishedAt: metav1.Now(),
	}}
}

func TestAQuotaRefusesPurges(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	q := s.quota(corev1.ResourceLimitsCPU, "500m")
	s.manage(scheduled, early(headStart))
	st := s.scheduledStore(everyMinute)
	s.SetDefaultEventuallyTimeout(time.Minute + patience) // the schedule takes up to a minute
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "False/FailedCreate")
	s.says(st, v1alpha1.ConditionPurgeHealthy, "False/FailedCreate", "exceeded quota", "limits.cpu=1", "ResourceQuota",
		"No scheduled purge starts while this Job is unfinished.", "The next one is due at")
	s.Eventually(func() []string { return s.purgeNotes("FailedCreate") }).Should(gomega.HaveLen(1))

	s.delete(q)
	job := s.jobs()[0].Name
	s.kubelet(job, corev1.PodSucceeded, exits(0, "Completed", ""))
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
}

func TestAQuotaRefusesTheJobItself(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	q := s.quota("count/jobs.batch", "0")
	s.manage(scheduled, early(9*time.Minute+headStart)) // ten minutes late then means ten seconds after the scheduled time
	st := s.scheduledStore(everyMinute)
	s.SetDefaultEventuallyTimeout(time.Minute + patience)
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "False/Late")
	s.says(st, v1alpha1.ConditionPurgeHealthy, "False/Late", "No purge has started since one was due at", "is FailedCreate: Error creating job", "exceeded quota", "The next one is due at")

	s.delete(q)
	s.Eventually(s.jobs).ShouldNot(gomega.BeEmpty())
	s.kubelet(s.jobs()[0].Name, corev1.PodSucceeded, exits(0, "Completed", ""))
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
}

// A run that was due before the schedule changed was never expected:
// the CronJob's managed fields show when the schedule changed.
func TestACronJobShowsWhenItsScheduleChanged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore()
	cron := &batchv1.CronJob{ObjectMeta: s.meta("acme-purge")}
	changed := func() (times []time.Time) {
		s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(cron), cron)).To(gomega.Succeed())
		for _, f := range cron.ManagedFields {
			if f.Manager == "nfo-manager" && f.Subresource == "" {
				times = append(times, f.Time.Time)
			}
		}
		return times
	}
	first := changed()
	s.Expect(first).To(gomega.HaveLen(1))
	s.ages(cron)
	change(s, st, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.TimeZone = "Europe/Paris" })
	s.Eventually(func() bool { last := changed(); return len(last) == 1 && last[0].After(first[0]) }).Should(gomega.BeTrue())
	s.Expect(*cron.Spec.TimeZone).To(gomega.Equal("Europe/Paris"))
}

func TestAPurgeThatDoesNotStart(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled, early(30*time.Second)) // the other half of its minute is for the steps before
	st := s.scheduledStore()
	s.byHand("now")
	s.kubelet("now", corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling image"}})
	s.Expect(s.condition(st, v1alpha1.ConditionPurgeHealthy)).To(gomega.Equal("True/Scheduled"), "it has a minute to start")
	// No event follows, so the store must reconcile itself by time.
	s.says(st, v1alpha1.ConditionPurgeHealthy, "False/NotStarted", "Job "+s.ns+"/now has not started", "ImagePullBackOff: Back-off pulling image", "pull secrets")
	s.Eventually(func() []string { return s.purgeNotes("NotStarted") }).Should(gomega.HaveLen(1))

	s.kubelet("now", corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
}

func TestAPurgeThatNobodySchedules(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled, early(headStart))
	st := s.scheduledStore()
	s.byHand("now")
	pod := s.podOf("now")
	s.create(&corev1.Event{
		ObjectMeta: s.meta("mount"), InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: s.ns, Name: pod.Name, UID: pod.UID},
		Type: corev1.EventTypeWarning, Reason: "FailedMount", Message: "timed out waiting for the volume", LastTimestamp: metav1.Now(),
	})
	s.says(st, v1alpha1.ConditionPurgeHealthy, "False/NotStarted", "is Pending: FailedMount: timed out waiting for the volume")
}

// looking makes a Job a dry run, as docs/tasks/delete-and-undo.md describes.
func looking(j *batchv1.Job) {
	c := &j.Spec.Template.Spec.Containers[0]
	c.Args = append(c.Args, "--dry-run")
}

func TestAPurgeThatFailsWithoutARecord(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore()
	s.purged(st, v1alpha1.PurgeRun{Outcome: v1alpha1.PurgeSucceeded, CompletionTime: metav1.NewTime(time.Now().Add(-time.Hour))})
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Succeeded")

	s.byHand("look", looking)
	s.kubelet("look", corev1.PodFailed, exits(cronjob.ExitRefused, "Error", "nothing to see"))
	s.jobEnds("look", batchv1.JobFailed)
	s.byHand("now")
	s.kubelet("now", corev1.PodFailed, exits(cronjob.ExitRefused, "Error", "purging store x/acme: the manager has not judged it yet"))
	s.jobEnds("now", batchv1.JobFailed)
	s.says(st, v1alpha1.ConditionPurgeHealthy, "False/Failed", "The last recorded purge ended at", "Job "+s.ns+"/now failed with PodFailurePolicy",
		"exited with code 4: purging store x/acme: the manager has not judged it yet. ")
	s.Eventually(func() []string { return s.purgeNotes("Failed") }).Should(gomega.HaveLen(1))

	s.byHand("again")
	s.kubelet("again", corev1.PodSucceeded, exits(0, "Completed", ""))
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Succeeded")
	message := s.find(st, v1alpha1.ConditionPurgeHealthy).Message
	s.Expect(message).To(gomega.HavePrefix("The last purge ended at"))
	s.Expect(message).NotTo(gomega.ContainSubstring("Job"))
}

// If a run recorded why it failed, the failure of its Job is not announced again.
func TestAPurgeThatFailsWithARecord(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore()
	s.byHand("now")
	s.podOf("now")
	ended := exits(cronjob.ExitRefused, "Error", "the registry is down")
	s.purged(st, v1alpha1.PurgeRun{Outcome: v1alpha1.PurgeFailed, CompletionTime: metav1.Now(), Message: "the registry is down"})
	s.kubelet("now", corev1.PodFailed, ended)
	s.jobEnds("now", batchv1.JobFailed)
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "False/Failed")
	s.Consistently(func() string { return s.find(st, v1alpha1.ConditionPurgeHealthy).Message }, time.Second).Should(gomega.And(
		gomega.HavePrefix("The last purge ended at"), gomega.ContainSubstring("failed: the registry is down. It deleted"), gomega.Not(gomega.ContainSubstring("Job"))))
	s.Eventually(func() []string { return s.purgeNotes("Failed") }).Should(gomega.HaveLen(1))
}

// jobEnds waits until a Job has a condition.
func (s *scene) jobEnds(name string, how batchv1.JobConditionType) {
	s.t.Helper()
	s.Eventually(func() (kinds []batchv1.JobConditionType) {
		j := &batchv1.Job{ObjectMeta: s.meta(name)}
		s.Expect(env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(j), j)).To(gomega.Succeed())
		for _, c := range j.Status.Conditions {
			kinds = append(kinds, c.Type)
		}
		return kinds
	}).Should(gomega.ContainElement(how))
}

func TestACronJobFollowsTheSettings(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	m := s.manage(scheduled)
	s.scheduledStore()
	cron := &batchv1.CronJob{ObjectMeta: s.meta("acme-purge")}
	container := func() corev1.Container {
		s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(cron), cron)).To(gomega.Succeed())
		return cron.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	}
	memory := func() string {
		for _, v := range container().Env {
			if v.Name == "GOMEMLIMIT" {
				return v.Value
			}
		}
		return ""
	}
	limits := func() string { l := container().Resources.Limits; return l.Cpu().String() + " " + l.Memory().String() }
	s.Expect(limits()).To(gomega.Equal("1 512Mi"))
	s.Expect(memory()).To(gomega.Equal("483183810"))

	change(s, cron, func(c *batchv1.CronJob) {
		edited := &c.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
		edited.Env, edited.Resources.Limits[corev1.ResourceMemory] = nil, resource.MustParse("1Gi")
	})
	s.Eventually(limits).Should(gomega.Equal("1 512Mi"), "an edit by hand is healed")
	s.Eventually(memory).Should(gomega.Equal("483183810"))

	m.Stop()
	s.manage(scheduled, func(o *environment.ManagerOptions) {
		o.PurgerResources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}}
	})
	s.Eventually(limits).Should(gomega.Equal("0 256Mi"), "a limit that left the values leaves the CronJob")
	s.Eventually(memory).Should(gomega.Equal("241591860"))
	s.Expect(container().Resources.Requests).To(gomega.BeEmpty())
}
