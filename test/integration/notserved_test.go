package integration

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// notServedOnce answers the first request of each method and path in the scene with 404 and
// no Status, as an API server does that does not serve the product's kinds for a moment.
func (s *scene) notServedOnce() environment.Transport {
	var asked sync.Map
	return instead(func(r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/nfo.dev/v1alpha1/namespaces/"+s.ns+"/") {
			return false
		}
		_, again := asked.LoadOrStore(r.Method+" "+r.URL.Path, true)
		return !again
	}, page(http.StatusNotFound))
}

// In every step of a manifest's life, one answer to the manager says that the requested kind does not exist.
func TestI2AKindThatIsNotServedForAMomentHasNotGone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	once := s.notServedOnce()
	s.manage(scheduled, func(o *environment.ManagerOptions) { o.API = once })
	s.scheduledStore(noGrace)
	released, held := s.image("m", "a:1", "released").Digest.String(), s.image("held", "a:1", "held").Digest.String()
	holder := s.definition("holder", "held", "a")
	m, kept := s.applied("m", "a:1"), s.applied("held", "a:1")
	s.create(holder)
	s.Eventually(func() []string { s.find(holder, v1alpha1.ConditionReady); return holder.Finalizers }).ShouldNot(gomega.BeEmpty())

	s.released(m)
	s.Expect(s.at(repository("m", "a"), "1")).To(gomega.BeEmpty(), "the tag of a released manifest")
	s.Expect(s.tombstones()).To(gomega.HaveLen(1), "what was released is recorded")
	s.released(s.applied("m", "a:1"))

	s.delete(holder)
	s.goes(holder)
	s.released(kept)
	s.Expect(s.tombstones()).To(gomega.HaveLen(2), "both are recorded")
	s.Expect(s.at(repository("held", "a"), "1")).To(gomega.BeEmpty())
	s.applied("held", "a:1")
	s.Expect(s.at(repository("held", "a"), "1")).To(gomega.Equal(held), "it comes back")

	s.Eventually(func() error {
		_, err := s.purge(t.Context(), false, once)
		return err
	}).Should(gomega.Succeed())
	s.Expect(pullsWhole(t, s.inside, repository("held", "a"), held)).To(gomega.Equal(held))
	s.Eventually(func() string {
		_, err := s.purge(t.Context(), false, nil)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		return s.at(repository("m", "a"), released)
	}).Should(gomega.BeEmpty(), "what nothing uses goes in the end")
}
