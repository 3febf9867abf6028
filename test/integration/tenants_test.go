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

// answerTime is almost as long as the manager's clients wait for an answer.
const answerTime = 25 * time.Second

// tenants are publishers with separate registries and one manager.
// After begin, the registry of slow needs answerTime for each answer.
type tenants struct {
	slow, other *scene
	begin       func()
	begun       time.Time
	asked       atomic.Int64  // requests to the slow registry since begun
	alone       time.Duration // how long a publisher's work takes while all registries answer
}

func newTenants(t *testing.T) *tenants {
	t.Helper()
	ts, first := &tenants{slow: newScene(t), other: newScene(t)}, newScene(t)
	ts.slow.manage(func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, ts.other.ns, first.ns) })
	var sleeps atomic.Bool
	ts.slow.registry.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if sleeps.Load() {
			ts.asked.Add(1)
			select {
			case <-time.After(answerTime):
			case <-req.Context().Done():
			}
		}
		return false
	})
	t.Cleanup(func() { sleeps.Store(false) })
	ts.begin = func() {
		ts.alone = first.works()
		ts.begun = time.Now()
		sleeps.Store(true)
	}
	return ts
}

// othersWork checks that another publisher's work takes about as long as without a
// slow registry. On a fast machine, it takes less time than a single slow answer.
func (ts *tenants) othersWork() {
	ts.slow.t.Helper()
	took := ts.other.works()
	ts.slow.Expect(took).To(gomega.BeNumerically("<", max(answerTime*4/5, 4*ts.alone)), "alone it takes %s", ts.alone)
}

// works does everything that a publisher does, and returns how long this took.
func (s *scene) works() time.Duration {
	s.t.Helper()
	begun := time.Now()
	st, m := s.store("acme"), s.manifest("m", "a:1")
	d := s.image("m", "a:1", "one").Digest.String()
	s.create(st, m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	s.create(s.manifest("m", "a:1"))
	s.eventually(s.manifest("m", "a:1"), v1alpha1.ConditionUploaded, "True/Complete")
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(d))
	return time.Since(begun)
}

func TestASlowRegistryKeepsNobodyElsesPollsWaiting(t *testing.T) {
	t.Parallel()
	ts := newTenants(t)
	slow := ts.slow
	st := slow.store("acme")
	slow.create(st)
	slow.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	ts.begin()
	for n := range 40 {
		var artifacts []string
		for i := range 12 {
			artifacts = append(artifacts, fmt.Sprintf("a%d:1", i))
		}
		slow.create(slow.manifest(fmt.Sprintf("m%d", n), artifacts...))
	}
	slow.Eventually(ts.asked.Load).Should(gomega.BeNumerically(">=", 4))
	ts.othersWork()
	answers := int64(time.Since(ts.begun) / answerTime) // one after another
	slow.Expect(ts.asked.Load()).To(gomega.BeNumerically("<", 8*(1+answers)), "the slow registry is asked for a few things at a time")
}

func TestASlowRegistryKeepsNobodyElsesDeletionsWaiting(t *testing.T) {
	t.Parallel()
	ts := newTenants(t)
	slow := ts.slow
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
	ts.begin()
	for _, m := range all {
		slow.delete(m)
	}
	slow.Eventually(ts.asked.Load).Should(gomega.BeNumerically(">=", 4))
	ts.othersWork()
}

func TestRegistriesThatNeverAnswerKeepNoNewStoreWaiting(t *testing.T) {
	t.Parallel()
	ts := newTenants(t)
	slow := ts.slow
	ts.begin()
	for n := range 60 {
		slow.create(slow.store(fmt.Sprintf("s%d", n), func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = slow.registry.URL(fmt.Sprintf("p%d", n)) }))
	}
	slow.Eventually(ts.asked.Load).Should(gomega.BeNumerically(">=", 2))
	ts.othersWork()
}

// An artifact that was not checked yet is unknown, not missing. All
// artifacts of a large manifest are checked, in several rounds.
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
