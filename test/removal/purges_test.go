package removal

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// purging returns a scene with a store whose purge is running.
func purging(t *testing.T) (*scene, *v1alpha1.ArtifactStore, *batchv1.Job) {
	t.Helper()
	s := newScene(t)
	store := s.store("acme", v1alpha1.Finalizer)
	s.create(store)
	s.purgeObjects(store)
	return s, store, s.runs("acme")
}

func TestARunningPurgeIsAwaited(t *testing.T) {
	s, store, job := purging(t)
	other := &batchv1.CronJob{ObjectMeta: s.meta("others"), Spec: batchv1.CronJobSpec{Schedule: "0 0 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: job.Spec}}}
	other.Labels = cronjob.Labels() // labels alone do not make it the operator's
	other.Spec.JobTemplate.Spec.Selector, other.Spec.JobTemplate.Spec.Template.Labels = nil, nil
	s.create(other)
	said, err := s.remove(func(r *remover) {
		r.on["waiting for: Job "+s.ns+"/now"] = func() {
			cron := &batchv1.CronJob{ObjectMeta: s.meta(cronjob.ObjectName("acme"))}
			s.Expect(s.read(cron)).To(gomega.BeTrue())
			s.Expect(*cron.Spec.Suspend).To(gomega.BeTrue(), "no other purge starts meanwhile")
			pod := s.pods(t.Context(), s.ns)[0]
			pod.Status.Phase = corev1.PodSucceeded
			s.Expect(env.Client.Status().Update(t.Context(), &pod)).To(gomega.Succeed())
		}
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(said).NotTo(gomega.ContainSubstring("purges: ended"))
	s.Expect(s.left()).To(gomega.Equal([]string{"others"}))
	s.Expect(s.finalizers(store)).To(gomega.BeEmpty())
	s.Expect(s.read(other)).To(gomega.BeTrue())
	s.Expect(*other.Spec.Suspend).To(gomega.BeFalse())
}

func TestAPurgeThatTakesLongIsEnded(t *testing.T) {
	s, store, job := purging(t)
	s.bind(s.ns)
	said, err := s.remove(func(r *remover) {
		r.Timeout = 20 * time.Second
		r.on["purges: ended: Job"] = func() { // the job has been asked to end, and does
			s.Eventually(func() int {
				s.endPods(t.Context(), s.ns)
				return len(s.pods(t.Context(), s.ns))
			}).Should(gomega.BeZero())
		}
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(said).To(gomega.ContainSubstring("purges: ended: Job " + s.ns + "/now, which has not within half of the time\n"))
	s.Expect(s.read(job)).To(gomega.BeFalse())
	s.Expect(s.left()).To(gomega.BeEmpty())
	s.Expect(s.finalizers(store)).To(gomega.BeEmpty())
}

// The objects that a running purge needs are kept, so that it can end in an orderly
// way. The finalizers are removed, because the purge cannot harm the objects.
func TestAPurgeThatDoesNotEnd(t *testing.T) {
	s, store, job := purging(t)
	s.bind(s.ns)
	_, err := s.remove(func(r *remover) { r.Timeout = 4 * time.Second })
	s.Expect(err).To(gomega.MatchError(gomega.And(
		gomega.ContainSubstring("still waiting after 4s for: Job "+s.ns+"/now"), gomega.ContainSubstring("kubectl delete pod -n NAMESPACE NAME --force"))))
	s.Expect(s.read(job)).To(gomega.BeTrue())
	s.Expect(job.DeletionTimestamp).NotTo(gomega.BeNil(), "it has been asked to end")
	account := &corev1.ServiceAccount{ObjectMeta: s.meta(cronjob.ObjectName("acme"))}
	s.Expect(s.read(account)).To(gomega.BeTrue())
	s.Expect(s.finalizers(store)).To(gomega.BeEmpty())

	s.endPods(t.Context(), s.ns) // as --force does
	_, err = s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(s.left()).To(gomega.BeEmpty())
}

// The removal does not wait for a job that has ended, even if a user started it.
func TestAPurgeThatHasEnded(t *testing.T) {
	s, _, job := purging(t)
	pod := s.pods(t.Context(), s.ns)[0]
	pod.Status.Phase = corev1.PodSucceeded
	s.Expect(env.Client.Status().Update(t.Context(), &pod)).To(gomega.Succeed())
	s.Eventually(func() *metav1.Time { s.read(job); return job.Status.CompletionTime }).ShouldNot(gomega.BeNil())
	said, err := s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(said).NotTo(gomega.ContainSubstring("waiting for: Job"))
	s.Expect(client.IgnoreNotFound(env.Client.Get(t.Context(), client.ObjectKeyFromObject(job), job))).To(gomega.Succeed())
}

// A user who may not access CronJobs can still remove the finalizers.
func TestPurgesThatAreDeniedStopNothingElse(t *testing.T) {
	s := newScene(t)
	store := s.store("acme", v1alpha1.Finalizer)
	s.create(store)
	s.purgeObjects(store)
	_, err := s.remove(s.without(func(resource, _ string) bool { return resource == "cronjobs" }))
	s.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("cronjobs.batch is forbidden"), gomega.ContainSubstring("kubectl delete cronjob -A -l app.kubernetes.io/component=purge"))))
	s.Expect(s.finalizers(store)).To(gomega.BeEmpty())
	s.Expect(s.left()).To(gomega.HaveLen(4), "what a purge that starts now needs is there")
}

// Another client creates an account with the name of one that is
// about to be deleted. The removal must not delete the new one.
func TestWhatTakesTheNameIsKept(t *testing.T) {
	s := newScene(t)
	store := s.store("acme")
	s.create(store)
	s.purgeObjects(store)
	theirs := &corev1.ServiceAccount{ObjectMeta: s.meta(cronjob.ObjectName("acme"))}
	once := sync.OnceFunc(func() {
		s.forget(&corev1.ServiceAccount{ObjectMeta: s.meta(theirs.Name)})
		s.create(theirs)
	})
	_, err := s.remove(func(r *remover) {
		r.through = before(func(req *http.Request) {
			if req.Method == http.MethodDelete && strings.HasSuffix(req.URL.Path, "/serviceaccounts/"+theirs.Name) {
				once()
			}
		})
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(s.read(theirs)).To(gomega.BeTrue())
	s.Expect(s.left()).To(gomega.BeEmpty())
}
