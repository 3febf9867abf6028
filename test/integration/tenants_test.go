package integration

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// tenants are two publishers with registries of their own, and one manager. The first one's registry takes
// almost as long for each answer as clients wait, once it was made to.
func tenants(t *testing.T) (slow, other *scene, begin func(), asked *atomic.Int64) {
	t.Helper()
	slow, other = newScene(t), newScene(t)
	slow.manage(func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, other.ns) })
	var sleeps atomic.Bool
	asked = &atomic.Int64{}
	slow.registry.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if sleeps.Load() {
			asked.Add(1)
			select {
			case <-time.After(25 * time.Second):
			case <-req.Context().Done():
			}
		}
		return false
	})
	t.Cleanup(func() { sleeps.Store(false) })
	return slow, other, func() { sleeps.Store(true) }, asked
}

// works has a publisher do all that it does, in the time that this takes when it is alone.
func (s *scene) works() {
	s.t.Helper()
	st, m := s.store("acme"), s.manifest("m", "a:1")
	d := s.image("m", "a:1", "one").Digest.String()
	s.create(st, m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	s.create(s.manifest("m", "a:1"))
	s.eventually(s.manifest("m", "a:1"), v1alpha1.ConditionUploaded, "True/Complete")
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(d))
}

func TestASlowRegistryKeepsNobodyElsesPollsWaiting(t *testing.T) {
	t.Parallel()
	slow, other, begin, asked := tenants(t)
	st := slow.store("acme")
	slow.create(st)
	slow.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	begin()
	for n := range 40 {
		var artifacts []string
		for i := range 12 {
			artifacts = append(artifacts, fmt.Sprintf("a%d:1", i))
		}
		slow.create(slow.manifest(fmt.Sprintf("m%d", n), artifacts...))
	}
	slow.Eventually(asked.Load).Should(gomega.BeNumerically(">=", 4))
	other.works()
	slow.Expect(asked.Load()).To(gomega.BeNumerically("<", 20), "the slow registry is asked for a few things at a time")
}

func TestASlowRegistryKeepsNobodyElsesDeletionsWaiting(t *testing.T) {
	t.Parallel()
	slow, other, begin, asked := tenants(t)
	st := slow.store("acme")
	slow.create(st)
	var all []*v1alpha1.ArtifactManifest
	for n := range 40 {
		name := fmt.Sprintf("m%d", n)
		slow.image(name, "a:1", name)
		m := slow.manifest(name, "a:1")
		slow.create(m)
		all = append(all, m)
	}
	for _, m := range all {
		slow.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	}
	begin()
	for _, m := range all {
		slow.delete(m)
	}
	slow.Eventually(asked.Load).Should(gomega.BeNumerically(">=", 4))
	other.works()
}

func TestRegistriesThatNeverAnswerKeepNoNewStoreWaiting(t *testing.T) {
	t.Parallel()
	slow, other, begin, asked := tenants(t)
	begin()
	for n := range 60 {
		slow.create(slow.store(fmt.Sprintf("s%d", n), func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = slow.registry.URL(fmt.Sprintf("p%d", n)) }))
	}
	slow.Eventually(asked.Load).Should(gomega.BeNumerically(">=", 2))
	other.works()
}

// What was not asked for yet is unknown, not missing; and the turns of a large manifest come.
func TestALargeManifestIsAskedForInTurns(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.create(s.store("acme"))
	var artifacts []string
	for i := range 150 {
		artifacts = append(artifacts, fmt.Sprintf("a%d:1", i))
	}
	m := s.manifest("m", artifacts...)
	last, err := registrytest.PushImage(t.Context(), s.registry.Host, repository("m", "a149"), "1", "last")
	s.Expect(err).NotTo(gomega.HaveOccurred())
	said := map[string]bool{}
	s.create(m)
	s.Eventually(func() string {
		c := s.find(m, v1alpha1.ConditionUploaded)
		if c == nil {
			return ""
		}
		said[c.Message] = true
		return string(c.Status) + "/" + c.Reason
	}, 3*patience).Should(gomega.Equal("False/Missing"))
	s.says(m, v1alpha1.ConditionUploaded, "False/Missing", "149 of 150 artifacts are not in the registry")
	s.Expect(m.Status.Artifacts[149].Digest).To(gomega.Equal(last.Digest.String()))
	for message := range said {
		s.Expect(message).To(gomega.Or(gomega.ContainSubstring("149 of 150"), gomega.ContainSubstring("has been asked for"), gomega.ContainSubstring("not been asked"), gomega.ContainSubstring("has not looked")))
	}
}
