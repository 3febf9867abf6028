package integration

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// A former leader is suspended immediately before it removes a tag. Meanwhile another leader
// completes the release, the manifest is applied again with a holder, and its tags are restored.
// When the former leader continues, its evidence is too old, so it does not remove the tag.
func TestI3AnOldLeaderThatWakesUpLate(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.image("m", "a:1", "a").Digest.String()
	var asleep atomic.Bool
	stuck, wake := make(chan context.Context, 1), make(chan struct{})
	sleepy := func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/manifests/") && asleep.CompareAndSwap(false, true) {
				stuck <- r.Context()
				<-wake
				// A suspended process continues like this: it sends the request if its context allows it.
				if err := r.Context().Err(); err != nil {
					return nil, err
				}
			}
			return base.RoundTrip(r)
		})
	}
	old := s.manage(func(o *environment.ManagerOptions) { o.Registry = sleepy })
	m := s.manifest("m", "a:1")
	s.create(s.store("acme"), m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	write := <-stuck
	ended := func() bool { return write.Err() != nil }

	s.manage()
	s.goes(m)
	s.Expect(s.at(repository("m", "a"), "1")).To(gomega.BeEmpty())
	again, holder := s.manifest("m", "a:1"), s.definition("nfdv", "m", "a")
	s.create(again, holder)
	s.eventually(again, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(holder, v1alpha1.ConditionResolved, "True/Resolved")
	s.Expect(s.at(repository("m", "a"), "1")).To(gomega.Equal(a))
	before := s.registry.Count(deletes)
	s.Eventually(ended).Should(gomega.BeTrue(), "its write carries a deadline no later than its evidence's")
	close(wake)
	old.Stop()
	s.Expect(s.at(repository("m", "a"), "1")).To(gomega.Equal(a))
	s.Expect(s.registry.Count(deletes)).To(gomega.Equal(before), "the old leader removed nothing")
}

func deletes(r *http.Request) bool { return r.Method == http.MethodDelete }

// Two leaders act at the same time, and holders are created and deleted.
// Whichever leader acts, a tag never disappears while an admitted holder exists.
func TestI1TwoLeadersAndAHolder(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.manage()
	s.create(s.store("acme"))
	a := s.image("m", "a:1", "a").Digest.String()
	admitted := 0
	for range 10 {
		m, holder := s.manifest("m", "a:1"), s.definition("nfdv", "m", "a")
		s.create(m)
		s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
		var deletion errgroup.Group
		deletion.Go(func() error {
			// A holder that is created together with the deletion is rarely admitted.
			<-time.After(rand.N(200 * time.Millisecond))
			return env.Client.Delete(t.Context(), m)
		})
		s.create(holder)
		s.Eventually(func() string { return s.condition(holder, v1alpha1.ConditionResolved) }).
			Should(gomega.BeElementOf("True/Resolved", "False/NotFound", "False/Terminating"))
		resolved := s.condition(holder, v1alpha1.ConditionResolved) == "True/Resolved"
		s.Expect(deletion.Wait()).To(gomega.Succeed())
		if resolved {
			admitted++
			s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
			s.Expect(s.at(repository("m", "a"), "1")).To(gomega.Equal(a), "I1: the tag is gone while an admitted holder exists")
		}
		s.delete(holder)
		s.goes(holder, m)
	}
	s.Expect(admitted).NotTo(gomega.BeZero(), "in no round was the holder admitted")
}
