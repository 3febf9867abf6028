package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// A retention rule used the age of an image manifest instead of its tag's, and deleted what had been tagged
// again (Azure/acr#520). Other cleaners list everything first and do not check again before they delete.
func TestCase04RetaggedInTheGrace(t *testing.T) {
	t.Parallel()
	t.Run("InTheGrace", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.manage(scheduled)
		s.scheduledStore()
		repo := repository("m", "a")
		d := s.image("m", "a:1", "one").Digest.String()
		s.released(s.applied("m", "a:1"))
		prey := s.prey()
		s.retags(repo, d, "stable")
		s.expires("m")
		s.expires("prey")
		s.Expect(s.sweeps(prey, nil)).To(gomega.HaveKeyWithValue(d, "Tagged"))
		s.Expect(pullsWhole(t, s.inside, repo, "stable")).To(gomega.Equal(d))
	})
	t.Run("BetweenPlanAndDelete", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.manage(scheduled)
		s.scheduledStore(noGrace)
		repo := repository("m", "a")
		child := s.child(repo, "child")
		d := s.index(repo, "1", child).Digest.String()
		single := s.image("m", "a:2", "single").Digest.String()
		s.released(s.applied("m", "a:1", "a:2"))
		again := before(claims("m"), func() {
			s.retags(repo, single, "stable")
			s.retags(repo, child.Digest.String(), "part")
		})
		got := s.sweeps(s.prey(), again)
		s.Expect(got).To(gomega.HaveKeyWithValue(single, "Tagged"))
		s.Expect(got).To(gomega.HaveKeyWithValue(child.Digest.String(), "Tagged"))
		s.Expect(pullsWhole(t, s.inside, repo, "stable")).To(gomega.Equal(single))
		s.Expect(pullsWhole(t, s.inside, repo, "part")).To(gomega.Equal(child.Digest.String()))
		s.Expect(s.at(repo, d)).To(gomega.BeEmpty(), "nobody tagged the index")
	})
}

// Garbage collections during a push deleted what was uploaded and not yet tagged (distribution#3045, quay#6318).
func TestCase06PushDuringPurge(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	repo := repository("m", "app")
	reused := s.child(repo, "reused")
	old := s.index(repo, "1", s.child(repo, "old"), reused)
	m := s.applied("m", "app:1")
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Spec.Artifacts = s.manifest("m", "app:2", "app:3").Spec.Artifacts
	})
	s.Eventually(func() string { return s.at(repo, "1") }).Should(gomega.BeEmpty())
	s.Eventually(func() int { s.condition(m, ""); return len(m.Status.Artifacts) }).Should(gomega.Equal(2))

	first := s.child(repo, "first")
	var second ocispec.Descriptor
	s.sweeps(s.prey(), before(claims("m"), func() { second = s.child(repo, "second") }))
	s.Expect(s.at(repo, old.Digest.String())).To(gomega.BeEmpty())
	d := s.index(repo, "2", first, second)
	s.Expect(pullsWhole(t, s.inside, repo, "2")).To(gomega.Equal(d.Digest.String()))

	// A push that omits a child, because the child existed before, must be refused and not stored incomplete.
	body, err := json.Marshal(indexOf(first, reused))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	answer := ask(s.inside, http.MethodPut, "/v2/"+repo+"/manifests/3", ocispec.MediaTypeImageIndex, body)
	s.Expect(answer.Code).To(gomega.BeNumerically(">=", 400), "the client learns so")
	d = s.index(repo, "3", first, s.child(repo, "reused"))
	s.Expect(pullsWhole(t, s.inside, repo, "3")).To(gomega.Equal(d.Digest.String()))
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
}

// deprecated makes a version deprecated, although it is still in use.
func deprecated(o *v1alpha1.NetworkFunctionDefinitionVersion) *v1alpha1.NetworkFunctionDefinitionVersion {
	o.Spec.VersionState = v1alpha1.VersionDeprecated
	return o
}

// A workload that is scaled to zero, or to which a rollback would return,
// looks unused to a cleaner that considers only running containers (kuik#154).
func TestCase11ScaledToZeroAndRollback(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	held, back := s.image("held", "a:1.0.0", "held").Digest.String(), s.image("back", "a:1.0.0", "back").Digest.String()
	m := s.applied("held", "a:1.0.0")
	s.create(deprecated(s.definition("idle", "held", "a")))
	s.eventually(s.definition("idle", "held", "a"), v1alpha1.ConditionResolved, "True/Resolved")
	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.released(s.applied("back", "a:1.0.0"))
	s.create(deprecated(s.definition("rollback", "back", "a")))

	s.Expect(s.sweeps(s.prey(), nil)).To(gomega.HaveKeyWithValue(back, "Held"))
	s.Expect(pullsWhole(t, s.inside, repository("held", "a"), "1.0.0")).To(gomega.Equal(held))
	s.applied("back", "a:1.0.0")
	s.Expect(pullsWhole(t, s.inside, repository("back", "a"), "1.0.0")).To(gomega.Equal(back))
}

// Protection was created for something that did not exist yet or was being
// deleted, and protected nothing without saying so (crossplane#7249).
func TestCase17SilentNonProtection(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	early := s.definition("early", "later", "a")
	s.create(early)
	s.says(early, v1alpha1.ConditionResolved, "False/NotFound", "artifactmanifests/"+s.ns+"/later")
	s.says(early, v1alpha1.ConditionReady, "False/NotFound", "later")
	later := s.image("later", "a:1.0.0", "later").Digest.String()
	m := s.applied("later", "a:1.0.0")
	s.eventually(early, v1alpha1.ConditionResolved, "True/Resolved")
	s.delete(m)
	s.says(m, v1alpha1.ConditionDeletionBlocked, "True/InUse", "early")

	going := s.image("going", "a:1.0.0", "going").Digest.String()
	n, first, late := s.applied("going", "a:1.0.0"), s.definition("first", "going", "a"), s.definition("late", "going", "a")
	s.create(first)
	s.eventually(first, v1alpha1.ConditionResolved, "True/Resolved")
	s.delete(n)
	s.eventually(n, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.create(late)
	s.says(late, v1alpha1.ConditionResolved, "False/Terminating", "artifactmanifests/"+s.ns+"/going")
	s.delete(first)
	s.goes(first)
	s.Eventually(func() string { return s.find(n, v1alpha1.ConditionDeletionBlocked).Message }).Should(gomega.And(
		gomega.ContainSubstring("/late"), gomega.Not(gomega.ContainSubstring("/first"))), "who is not admitted holds all the same")

	s.sweeps(s.prey(), nil)
	s.Expect(pullsWhole(t, s.inside, repository("later", "a"), "1.0.0")).To(gomega.Equal(later))
	s.Expect(pullsWhole(t, s.inside, repository("going", "a"), "1.0.0")).To(gomega.Equal(going))
}

// A deletion that had been refused was repeated later, when it was no longer
// wanted, and deleted an object that had been created again (crossplane#6140).
func TestCase18DeniedDeleteReplayed(t *testing.T) {
	t.Parallel()
	t.Run("AnUndoneRelease", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		manager := s.manage(scheduled)
		s.scheduledStore(noGrace)
		d := s.image("m", "a:1.0.0", "one").Digest.String()
		m := s.applied("m", "a:1.0.0")
		prey := s.prey() // the first release has shown that the registry can remove tags
		late := s.definition("late", "m", "a")
		var first sync.Once
		s.registry.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if deletes(r) {
				first.Do(func() { s.create(late) })
			}
			return false
		})
		s.delete(m)
		s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
		s.Eventually(func() string { return s.at(repository("m", "a"), "1.0.0") }).Should(gomega.Equal(d), "the release is undone")
		s.Eventually(s.tombstones).Should(gomega.HaveLen(1), "the prey's alone")
		s.sweeps(prey, nil)
		s.Expect(pullsWhole(t, s.inside, repository("m", "a"), "1.0.0")).To(gomega.Equal(d))

		// The manifest is deleted once nothing holds it. A manifest that is applied afterwards is a new one.
		s.delete(late)
		s.goes(late, m)
		again := s.applied("m", "a:1.0.0")
		manager.Stop()
		s.manage(scheduled)
		s.sweeps(s.prey(), nil)
		s.eventually(again, v1alpha1.ConditionReady, "True/Ready")
		s.Expect(again.DeletionTimestamp.IsZero()).To(gomega.BeTrue())
		s.Expect(pullsWhole(t, s.inside, repository("m", "a"), "1.0.0")).To(gomega.Equal(d))
	})
	t.Run("AReleaseThatRemovedNoTag", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.registry.RefuseTagDelete()
		s.manage(scheduled)
		s.scheduledStore(noGrace)
		d := s.image("m", "a:1", "one").Digest.String()
		s.released(s.applied("m", "a:1")) // the tag stays until the purge
		again := s.applied("m", "a:1")    // nothing remains of that release
		change(s, again, orphan)
		s.released(again)
		s.Expect(s.at(repository("m", "a"), "1")).To(gomega.Equal(d))
		s.sweeps(s.prey(), nil)
		s.Expect(s.at(repository("m", "a"), "1")).To(gomega.Equal(d), "what was orphaned stays in the registry, whatever was released before")
		pullsWhole(t, s.inside, repository("m", "a"), "1")
	})
	t.Run("AReleaseBegunTwice", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		repo := repository("m", "a")
		var first sync.Once
		s.manage(scheduled, func(o *environment.ManagerOptions) { // the first status update after the untag fails
			o.API = instead(func(r *http.Request) (match bool) {
				if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/artifactmanifests/m/status") && s.registry.Count(deletes) > 0 {
					first.Do(func() { match = true })
				}
				return match
			}, failing(http.StatusInternalServerError, "UNKNOWN"))
		})
		s.scheduledStore()
		old := s.image("m", "a:1", "old").Digest.String()
		m := s.applied("m", "a:1")
		pushed := s.image("m", "a:1", "overwritten, and not looked at since").Digest.String()
		s.released(m)
		s.applied("m", "a:1")
		s.Expect(pullsWhole(t, s.inside, repo, "1")).To(gomega.Equal(pushed), "the undo brings back what was there, not %s", old)
	})
	t.Run("APlanFromBefore", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.manage(scheduled)
		s.scheduledStore(noGrace)
		d := s.image("m", "a:1.0.0", "one").Digest.String()
		s.released(s.applied("m", "a:1.0.0"))
		again := s.manifest("m", "a:1.0.0")
		got := s.sweeps(s.prey(), before(claims("m"), func() { s.create(again) }))
		s.Expect(got).To(gomega.HaveKeyWithValue(d, "Held"))
		s.eventually(again, v1alpha1.ConditionUploaded, "True/Complete")
		s.Expect(pullsWhole(t, s.inside, repository("m", "a"), "1.0.0")).To(gomega.Equal(d))
	})
}

// A garbage collection held a repository's lock for days, and pushes had to wait (zot#4235).
func TestCase20LockedForDays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.Concurrency = 1 })
	repo := repository("m", "a")
	var tags, digests []string
	for _, tag := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19"} {
		tags, digests = append(tags, "a:"+tag), append(digests, s.image("m", "a:"+tag, "m"+tag).Digest.String())
	}
	grace, expired := s.image("grace", "a:1", "grace").Digest.String(), s.image("zz", "a:1", "zz").Digest.String()
	s.image("held", "a:1", "held")
	held := s.applied("held", "a:1")
	s.released(s.applied("m", tags...))
	s.released(s.applied("grace", "a:1"))
	s.released(s.applied("zz", "a:1"))
	s.expires("m")
	s.expires("zz")

	reached, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.registry.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if deletes(r) && touches("m")(r) {
			once.Do(func() { close(reached) })
			select {
			case <-goOn:
			// There are 20 such tags, deleted one after another: together they block longer than the rest of the test takes.
			case <-time.After(2 * patience / 20):
			}
		}
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { _, err := s.purge(ctx, false, nil); done <- err }()
	<-reached

	fresh := s.image("m", "a:new", "new").Digest.String()
	other := s.image("other", "a:1", "other").Digest.String()
	s.applied("other", "a:1")
	s.applied("grace", "a:1")
	s.applied("zz", "a:1")
	s.released(held)
	select {
	case err := <-done:
		t.Fatalf("the purge has ended already (%v): it was not seen to block nobody", err)
	default:
	}
	close(goOn)
	s.Expect(<-done).NotTo(gomega.HaveOccurred())
	for _, d := range digests {
		s.Expect(s.at(repo, d)).To(gomega.BeEmpty(), "the purge deletes what may go")
	}
	s.Expect(pullsWhole(t, s.inside, repo, "new")).To(gomega.Equal(fresh))
	s.Expect(pullsWhole(t, s.inside, repository("other", "a"), "1")).To(gomega.Equal(other))
	s.Expect(pullsWhole(t, s.inside, repository("grace", "a"), "1")).To(gomega.Equal(grace))
	s.Expect(pullsWhole(t, s.inside, repository("zz", "a"), "1")).To(gomega.Equal(expired))
}
