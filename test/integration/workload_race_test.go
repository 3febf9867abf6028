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

// setting returns a number from the environment, or the usual one.
func setting(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// How a round can end.
const (
	untouched = "the pod came before the manifest was released"
	held      = "the purge saw the pod"
	putBack   = "the pod came while the purge deleted"
	deleted   = "the pod came after the purge had deleted"
)

// Pods are created while the manifest of their image is deleted and purged without a grace period. If a pod was
// admitted before the purge deleted the image, the image still exists at the end. `make races` runs 2,000 rounds.
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
			longest := 2 * time.Second // the longest round so far, which depends on the machine
			for i := range rounds {
				latest := longest * 5 / 4
				// Distribute the rounds over the whole time, however few they are.
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

// race runs one round with a manifest of the given name. The pod is created and the purge starts the given times after
// the deletion of the manifest. It returns how the round ended, and when the purge ended, measured from the deletion.
func (s *scene) race(name string, podAfter, purgeAfter time.Duration) (outcome string, took time.Duration) {
	s.t.Helper()
	m, pod := s.manifest(name, "nginx:1.0.0"), s.pod(name, s.pulled(name, "nginx:1.0.0"))
	repository := repository(name, "nginx")
	d := s.image(name, "nginx:1.0.0", name).Digest.String()
	s.create(m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	begun := time.Now()
	var admitted time.Duration
	// gone is the time since begun when the registry answered the DELETE; the purge reads the workloads again afterwards.
	var gone atomic.Int64
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
