package removal

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/removal"
)

func (s *scene) replicas() int32 {
	s.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: inManagerNamespace(v1alpha1.ManagerName)}
	s.Expect(s.read(d)).To(gomega.BeTrue())
	return *d.Spec.Replicas
}

// If the webhooks cannot be deleted, the manager must not be scaled
// down, because the API server would then refuse all writes.
func TestWhileTheWebhooksStayTheManagerDoes(t *testing.T) {
	s := newScene(t)
	m := s.manifest("m", v1alpha1.Finalizer)
	s.create(m)
	s.deploy()
	s.unserved()
	_, err := s.remove(s.without(func(resource, verb string) bool {
		return resource == "validatingwebhookconfigurations" && verb == "delete"
	}))
	s.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("forbidden"), gomega.ContainSubstring("kubectl delete validatingwebhookconfiguration nfo-validating"))))
	s.Expect(s.replicas()).To(gomega.BeEquivalentTo(1))
	s.Expect(s.finalizers(m)).To(gomega.Equal([]string{v1alpha1.Finalizer}))
}

func TestAnotherNamespaceThanTheManagers(t *testing.T) {
	s := newScene(t)
	s.deploy()
	s.unserved()
	writes := atomic.Int32{}
	_, err := s.remove(func(r *remover) {
		r.Namespace = s.ns
		r.through = writesTo(&writes)
	})
	s.Expect(errors.Is(err, removal.ErrNamespace)).To(gomega.BeTrue(), "%v", err)
	s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("say --namespace=nfo-system")))
	s.Expect(writes.Load()).To(gomega.BeZero())
}

// A pod on a node that does not answer may still be running, so the removal must not go on without it.
func TestAManagerThatDoesNotEnd(t *testing.T) {
	s := newScene(t)
	m := s.manifest("m", v1alpha1.Finalizer)
	s.create(m)
	s.deploy()
	s.bind(v1alpha1.ManagerNamespace)
	_, err := s.remove(func(r *remover) { r.Timeout = 3 * time.Second })
	s.Expect(err).To(gomega.MatchError(gomega.And(
		gomega.ContainSubstring("still waiting after 3s for: pod nfo-system/nfo-manager-"), gomega.ContainSubstring("on node edge-7"),
		gomega.ContainSubstring("kubectl delete pod -n nfo-system NAME --force"))))
	s.Expect(s.replicas()).To(gomega.BeZero())
	s.Expect(s.finalizers(m)).To(gomega.Equal([]string{v1alpha1.Finalizer}), "nothing is done beside a manager")

	// The Deployment is deleted, but its pod remains.
	d := &appsv1.Deployment{ObjectMeta: inManagerNamespace(v1alpha1.ManagerName)}
	s.Expect(env.Client.Delete(t.Context(), d, client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(gomega.Succeed())
	_, err = s.remove(func(r *remover) { r.Timeout = 2 * time.Second })
	s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("still waiting after 2s for: pod nfo-system/nfo-manager-")))

	s.endPods(t.Context(), v1alpha1.ManagerNamespace) // as --force does
	_, err = s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(s.finalizers(m)).To(gomega.BeEmpty())
}
