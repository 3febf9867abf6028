package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// crashes runs act twice for each of its writes, and ends the manager at that write: before
// the write is sent, and after it was done. steps must be larger than the number of writes.
// At the last step the manager must not crash, which shows that every write was tried.
func crashes(t *testing.T, steps int, act func(*scene, *fuse)) {
	t.Helper()
	for n := range steps {
		for _, when := range []string{"Before", "After"} {
			t.Run(fmt.Sprintf("%sWrite%02d", when, n), func(t *testing.T) {
				t.Parallel()
				f := newFuse(n, when == "After")
				act(newScene(t), f)
				select {
				case <-f.blown:
					if n == steps-1 {
						t.Fatalf("the act takes %d writes or more: raise steps", steps)
					}
				default:
				}
			})
		}
	}
}

// crashing runs a manager with a fuse until it crashes or done returns true.
func (s *scene) crashing(f *fuse, done func() bool) {
	s.t.Helper()
	m := s.manage(func(o *environment.ManagerOptions) { o.API, o.Registry = f.wrap, f.wrap })
	s.Eventually(func() bool {
		select {
		case <-f.blown:
			return true
		default:
			return done()
		}
	}).Should(gomega.BeTrue())
	m.Stop()
}

// uploaded creates a store and a manifest with two artifacts, which are in the registry.
func (s *scene) uploaded() (m *v1alpha1.ArtifactManifest, digests map[string]string) {
	s.t.Helper()
	digests = map[string]string{"acme/m/a": s.image("m", "a:1", "a").Digest.String(), "acme/m/b": s.image("m", "b:1", "b").Digest.String()}
	m = s.manifest("m", "a:1", "b:1")
	s.create(s.store("acme"), m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	return m, digests
}

// nothingLost checks what must be true at any moment: every digest exists, and every missing tag is recorded in a tombstone.
func (s *scene) nothingLost(digests map[string]string) {
	s.t.Helper()
	recorded := map[string]bool{}
	for _, t := range s.tombstones() {
		for _, a := range t.Spec.Artifacts {
			recorded[a.Repository+"@"+a.Digests[len(a.Digests)-1]] = true
		}
	}
	for repository, d := range digests {
		s.Expect(s.at(repository, d)).To(gomega.Equal(d), "the digest is lost")
		if s.at(repository, "1") == "" && !recorded[repository+"@"+d] {
			s.t.Errorf("I4: the tag of %s is gone and no tombstone has its digest", repository)
		}
	}
}

func TestI4ACrashInAReleaseLosesNothing(t *testing.T) {
	t.Parallel()
	crashes(t, 13, func(s *scene, f *fuse) {
		first := s.manage()
		m, digests := s.uploaded()
		first.Stop()
		s.delete(m)
		s.crashing(f, func() bool { s.condition(m, ""); return len(s.tombstones()) > 0 && s.gone(m) })
		s.nothingLost(digests)
		s.manage()
		s.goes(m)
		s.nothingLost(digests)
		s.Expect(s.tombstones()).To(gomega.HaveLen(1))
		grave := s.tombstones()[0]
		for repository := range digests {
			s.Expect(s.at(repository, "1")).To(gomega.BeEmpty())
			s.Expect(grave.Entry(repository, "1").State).To(gomega.Equal(v1alpha1.TombstoneUntagged))
			s.Expect(grave.Entry(repository, "1").UntaggedAt).NotTo(gomega.BeNil())
		}
	})
}

func TestI5ACrashInARestoreLosesNothing(t *testing.T) {
	t.Parallel()
	crashes(t, 14, func(s *scene, f *fuse) {
		first := s.manage()
		m, digests := s.uploaded()
		s.delete(m)
		s.goes(m)
		first.Stop()
		again := s.manifest("m", "a:1", "b:1")
		s.create(again)
		s.crashing(f, func() bool { return s.condition(again, v1alpha1.ConditionUploaded) == "True/Complete" })
		s.nothingLost(digests)
		s.manage()
		s.eventually(again, v1alpha1.ConditionUploaded, "True/Complete")
		for repository, d := range digests {
			s.Expect(s.at(repository, "1")).To(gomega.Equal(d))
		}
		s.Eventually(s.tombstones).Should(gomega.BeEmpty(), "the restored entries are consumed")
	})
}

// A holder is created at the moment of the last untag. The release is undone, wherever the manager crashes.
func TestI3ACrashInAnUndoneReleaseLosesNothing(t *testing.T) {
	t.Parallel()
	crashes(t, 20, func(s *scene, f *fuse) {
		first := s.manage()
		m, digests := s.uploaded()
		first.Stop()
		var once sync.Once
		s.registry.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/m/b/") {
				once.Do(func() { s.create(s.definition("late", "m", "a")) })
			}
			return false
		})
		s.delete(m)
		s.crashing(f, func() bool { return s.condition(m, v1alpha1.ConditionDeletionBlocked) == "True/InUse" })
		s.nothingLost(digests)
		late := s.definition("late", "m", "a")
		held := !s.gone(late)
		s.manage()
		if !held { // the manager crashed before the holder was created, so the next manager's untag creates it
			s.Eventually(func() bool { return !s.gone(late) }).Should(gomega.BeTrue())
		}
		s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
		for repository, d := range digests {
			s.Eventually(func() string { return s.at(repository, "1") }).Should(gomega.Equal(d))
		}
		s.nothingLost(digests)
	})
}
