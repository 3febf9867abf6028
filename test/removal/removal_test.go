package removal

import (
	"testing"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

func (s *scene) manage() *environment.Manager {
	s.t.Helper()
	return env.StartManager(s.t, environment.ManagerOptions{Namespaces: []string{s.ns}, PurgerImage: image})
}

func inManagerNamespace(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: name}
}

// The product is installed and in use, with a released manifest; it is removed and installed again. Nothing may be lost.
func TestI12NothingIsLostBetweenTwoInstallations(t *testing.T) {
	s := newScene(t)
	manager := s.manage()
	store, m, released, nfdv := s.store("acme"), s.manifest("m"), s.manifest("released"), s.definition("nfdv", "m")
	for _, name := range []string{"m", "released"} {
		if _, err := registrytest.PushImage(t.Context(), s.registry.Host, "acme/"+name+"/a", "1", name); err != nil {
			t.Fatal(err)
		}
	}
	s.create(store, m, released, nfdv)
	uploaded := func(m *v1alpha1.ArtifactManifest) func() string {
		return func() string { return s.condition(m, &m.Status.Conditions, v1alpha1.ConditionUploaded) }
	}
	resolved := func() string { return s.condition(nfdv, &nfdv.Status.Conditions, v1alpha1.ConditionResolved) }
	s.Eventually(uploaded(m)).Should(gomega.Equal("True/Complete"))
	s.Eventually(uploaded(released)).Should(gomega.Equal("True/Complete"))
	s.Eventually(resolved).Should(gomega.Equal("True/Resolved"))
	s.delete(released)
	s.Eventually(func() bool { return s.read(released) }).Should(gomega.BeFalse())
	cron := &batchv1.CronJob{ObjectMeta: s.meta(cronjob.ObjectName("acme"))}
	s.Eventually(func() bool { return s.read(cron) }).Should(gomega.BeTrue())
	secret, lease := &corev1.Secret{ObjectMeta: inManagerNamespace(v1alpha1.WebhookSecretName)}, &coordinationv1.Lease{ObjectMeta: inManagerNamespace(v1alpha1.ManagerName)}
	s.create(secret, lease)
	s.deploy()
	s.bind(v1alpha1.ManagerNamespace)
	s.unserved()
	s.registry.Forget()

	said, err := s.remove(func(r *remover) {
		r.on["manager: waiting for: pod nfo-system/nfo-manager-"] = func() { // does what the node would do
			s.Expect(s.finalizers(m)).To(gomega.Equal([]string{v1alpha1.Finalizer}), "nothing is done beside a manager")
			manager.Stop()
			s.Eventually(func() int {
				s.endPods(t.Context(), v1alpha1.ManagerNamespace)
				return len(s.pods(t.Context(), v1alpha1.ManagerNamespace))
			}).Should(gomega.BeZero())
		}
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(said).To(gomega.And(
		gomega.ContainSubstring("on node edge-7\n"), gomega.ContainSubstring("finalizers: 1 of 1 artifactmanifests, 1 removed\n"), gomega.HaveSuffix("done: what was installed can be deleted\n")))
	webhooks := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName}}
	pods := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.MutatingWebhookName}}
	for _, o := range []client.Object{webhooks, pods, secret, lease} {
		s.Expect(s.read(o)).To(gomega.BeFalse(), "%T", o)
	}
	s.Expect(s.left()).To(gomega.BeEmpty())
	for _, o := range []client.Object{store, m, nfdv} {
		s.Expect(s.read(o)).To(gomega.BeTrue(), "%s stays", o.GetName())
		s.Expect(o.GetFinalizers()).To(gomega.BeEmpty(), o.GetName())
		s.Expect(o.GetDeletionTimestamp()).To(gomega.BeNil(), o.GetName())
	}
	s.Expect(s.registry.Requests()).To(gomega.BeEmpty(), "no registry is touched")
	d := &appsv1.Deployment{ObjectMeta: inManagerNamespace(v1alpha1.ManagerName)}
	s.Expect(s.read(d)).To(gomega.BeTrue())
	s.Expect(*d.Spec.Replicas).To(gomega.BeZero())

	before := s.versions()
	_, err = s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred(), "a second time there is nothing to do")
	s.Expect(s.versions()).To(gomega.Equal(before))

	s.manage()
	for _, o := range []client.Object{store, m, nfdv} {
		s.Eventually(func() []string { return s.finalizers(o) }).Should(gomega.Equal([]string{v1alpha1.Finalizer}), o.GetName())
	}
	s.Eventually(func() bool { return s.read(cron) }).Should(gomega.BeTrue())
	s.Eventually(uploaded(m)).Should(gomega.Equal("True/Complete"))
	s.Eventually(resolved).Should(gomega.Equal("True/Resolved"))
	released = s.manifest("released")
	s.create(released)
	s.Eventually(uploaded(released)).Should(gomega.Equal("True/Complete"), "what was released before can still be restored")
}

// versions returns the resourceVersions of all objects that a removal could change.
func (s *scene) versions() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	s.every(s.t.Context(), func(o client.Object) { all[string(o.GetUID())+" "+o.GetName()] = o.GetResourceVersion() })
	return all
}
