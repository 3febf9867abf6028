package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/test/environment"
)

// setting is a number of the environment, or the usual one.
func setting(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// How a round ends.
const (
	untouched = "the pod came before the manifest was released"
	held      = "the purge saw the pod"
	putBack   = "the pod came while the purge deleted"
	deleted   = "the pod came after the purge had deleted"
)

// Pods are created while the manifest that their image is in is deleted, and purged without any grace. Whenever a pod was
// admitted before the purge had deleted, its image is still there. `make races` tries it 2,000 times.
func TestI14NoImageOfAnAdmittedPodIsPurged(t *testing.T) {
	t.Parallel()
	for range setting("NFO_PUBLISHERS", 1) {
		t.Run("publisher", func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.reads("nfo-workloads")
			s.create(s.running(v1alpha1.WorkloadPods))
			s.manage(func(o *environment.ManagerOptions) { o.PurgerImage = purgerImage })
			s.Eventually(func() error {
				_, err := s.purge(t.Context(), false, nil)
				return err
			}).Should(gomega.Succeed())
			outcomes, rounds := map[string]int{}, setting("NFO_ROUNDS", 12)
			longest := 2 * time.Second // that a round takes, which depends on the machine
			for i := range rounds {
				latest := longest * 5 / 4
				// From all of the time, however few the rounds are.
				after := (time.Duration(i)*latest + rand.N(latest)) / time.Duration(rounds)
				outcome, took := s.race(fmt.Sprintf("cnf-%d", i), after, rand.N(latest/5))
				outcomes[outcome]++
				longest = max(longest, took)
			}
			t.Logf("%v", outcomes)
			s.Expect(outcomes[putBack]+outcomes[deleted]).To(gomega.BeNumerically(">", 0), "in no round did the purge delete anything")
			s.Expect(outcomes[untouched]+outcomes[held]).To(gomega.BeNumerically(">", 0), "in no round was the pod there in time")
		})
	}
}

// race is one round, of a manifest of a name, with a pod and a purge that begin so long after its deletion did. It returns how
// the round ended, and how long after the deletion the purge did.
func (s *scene) race(name string, podAfter, purgeAfter time.Duration) (outcome string, took time.Duration) {
	s.t.Helper()
	m, pod := s.manifest(name, "nginx:1.0.0"), s.pod(name, s.pulled(name, "nginx:1.0.0"))
	repository := repository(name, "nginx")
	d := s.image(name, "nginx:1.0.0", name).Digest.String()
	s.create(m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	begun := time.Now()
	var admitted time.Duration
	var gone atomic.Int64 // when, since begun, the purge had its answer: it looks once more after that
	answers := func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if deletes(r) && strings.HasSuffix(r.URL.Path, "/manifests/"+d) {
				gone.Store(int64(time.Since(begun)))
			}
			return resp, err
		})
	}
	var purged error
	var racing sync.WaitGroup
	racing.Go(func() { s.delete(m) })
	racing.Go(func() {
		<-time.After(podAfter)
		s.create(pod)
		admitted = time.Since(begun)
	})
	racing.Go(func() {
		<-time.After(purgeAfter)
		_, purged = s.purge(s.t.Context(), false, answers)
		took = time.Since(begun)
	})
	racing.Wait()
	if !errors.Is(purged, purge.ErrPutBack) {
		s.Expect(purged).NotTo(gomega.HaveOccurred())
	}
	left := s.at(repository, d)
	if int64(admitted) < gone.Load() {
		s.Expect(left).To(gomega.Equal(d), "the image of pod %s", name)
	}
	_, err := s.purge(s.t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(s.at(repository, d)).To(gomega.Equal(left), "the pod has been there for all of the second purge")
	switch {
	case left == "":
		outcome = deleted
	case purged != nil:
		outcome = putBack
	case s.at(repository, "1.0.0") == d:
		outcome = untouched
	default:
		outcome = held
	}
	s.Expect(env.Client.Delete(s.t.Context(), pod, client.GracePeriodSeconds(0))).To(gomega.Succeed())
	return outcome, took
}
