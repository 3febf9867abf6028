package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// sealedOne seals the manifest m with the artifact a:1, and returns it with the artifact's digest.
func (s *scene) sealedOne(change ...func(*v1alpha1.ArtifactStore)) (*v1alpha1.ArtifactManifest, string) {
	s.t.Helper()
	d := s.image("m", "a:1", "sealed").Digest.String()
	s.create(s.store("acme", change...))
	m := s.applied("m", "a:1")
	s.seals(m)
	return m, d
}

// seals seals a manifest and waits until the manager has polled it as sealed.
func (s *scene) seals(m *v1alpha1.ArtifactManifest) {
	s.t.Helper()
	change(s, m, func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded })
	s.Eventually(func() bool {
		c := s.find(m, v1alpha1.ConditionUploaded)
		return c != nil && c.ObservedGeneration == m.Generation
	}).Should(gomega.BeTrue())
}

// pollAgain replaces a manager with another one, which polls every manifest once.
func (s *scene) pollAgain(was *environment.Manager, change ...func(*environment.ManagerOptions)) *environment.Manager {
	s.t.Helper()
	was.Stop()
	s.registry.Forget()
	is := s.manage(change...)
	s.Eventually(func() int {
		return s.registry.Count(func(r *http.Request) bool { return r.URL.Path == "/v2/acme/m/a/manifests/1" })
	}).Should(gomega.BeNumerically(">", 0))
	return is
}

// entryOf waits until the only entry of a manifest has a state, and returns the entry.
func (s *scene) entryOf(m *v1alpha1.ArtifactManifest, want v1alpha1.ArtifactState, movedTo string) v1alpha1.ArtifactStatus {
	s.t.Helper()
	var e v1alpha1.ArtifactStatus
	s.Eventually(func() string {
		s.condition(m, "")
		if len(m.Status.Artifacts) != 1 {
			return ""
		}
		e = m.Status.Artifacts[0]
		return string(e.State) + " " + e.MovedTo
	}).Should(gomega.Equal(string(want) + " " + movedTo))
	return e
}

// overwritten returns the digests that were overwritten. Each of them has its own tombstone and grace period.
func (s *scene) overwritten() []string {
	s.t.Helper()
	var digests []string
	for _, t := range s.tombstones() {
		s.Expect(t.Spec.Cause).To(gomega.Equal(v1alpha1.CauseOverwritten))
		e := t.Entry("acme/m/a", "1")
		s.Expect(e.State).To(gomega.Equal(v1alpha1.TombstoneUntagged))
		s.Expect(e.UntaggedAt).NotTo(gomega.BeNil())
		s.Expect(t.Spec.Artifacts[0].Digests).To(gomega.HaveLen(1))
		digests = append(digests, t.Spec.Artifacts[0].Digests...)
	}
	return digests
}

// eventsLike counts the events about m with this type, reason and action.
func (s *scene) eventsLike(event string) int {
	s.t.Helper()
	return len(slices.DeleteFunc(s.events("m"), func(e string) bool { return e != event }))
}

func TestI1WhatMovesASealedTagIsTampering(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage()
	m, a := s.sealedOne()

	b := s.image("m", "a:1", "second").Digest.String()
	manager = s.pollAgain(manager)
	e := s.entryOf(m, v1alpha1.ArtifactMoved, b)
	s.Expect(e.Digest).To(gomega.Equal(a), "what was sealed")
	s.says(m, v1alpha1.ConditionUploaded, "False/Tampered", "acme/m/a:1 (sealed at "+a+", now at "+b+")", "kubectl annotate am m nfo.dev/restore-digest="+a, "new manifest")
	s.eventually(m, v1alpha1.ConditionReady, "False/Tampered")
	s.Expect(s.overwritten()).To(gomega.Equal([]string{a}))
	s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElements("Warning Tampered Observing", "Warning TagMoved Observing"))

	buried := s.tombstones()[0].ResourceVersion
	manager = s.pollAgain(manager)
	c := s.image("m", "a:1", "third").Digest.String()
	s.Expect(s.tombstones()[0].ResourceVersion).To(gomega.Equal(buried), "one drift is buried once")

	manager = s.pollAgain(manager)
	s.Expect(s.entryOf(m, v1alpha1.ArtifactMoved, c).Digest).To(gomega.Equal(a), "what was sealed stays so")
	s.Expect(s.overwritten()).To(gomega.ConsistOf(a, b))
	s.says(m, v1alpha1.ConditionUploaded, "False/Tampered", "now at "+c)
	s.Eventually(func() int { return s.eventsLike("Warning TagMoved Observing") }).Should(gomega.Equal(2))

	s.retags("acme/m/a", a, "1") // by the publisher
	s.pollAgain(manager)
	s.Expect(s.entryOf(m, v1alpha1.ArtifactPresent, "").Digest).To(gomega.Equal(a))
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
	s.Expect(s.overwritten()).To(gomega.ConsistOf(a, b, c))
	s.Expect(s.eventsLike("Warning Tampered Observing")).To(gomega.Equal(1), "a transition is announced, a poll is not")
}

// What is pushed between the last poll and the sealing becomes the sealed digest.
func TestTheFirstLookAfterTheSealingFindsWhatIsSealed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage()
	old := s.image("m", "a:1", "old").Digest.String()
	s.create(s.store("acme"))
	m := s.applied("m", "a:1")
	pushed := s.image("m", "a:1", "mended, and sealed at once").Digest.String()
	s.seals(m)
	s.Expect(s.entryOf(m, v1alpha1.ArtifactPresent, "").Digest).To(gomega.Equal(pushed))
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
	s.Expect(s.overwritten()).To(gomega.Equal([]string{old}))

	late := s.image("m", "a:1", "after the sealing").Digest.String()
	s.pollAgain(manager)
	s.Expect(s.entryOf(m, v1alpha1.ArtifactMoved, late).Digest).To(gomega.Equal(pushed))
}

// The sealed digest is restored, not the one that overwrote it
// it. Otherwise the restore would make that one the sealed digest.
func TestI5AReleaseOfATamperedManifestRecordsBoth(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		seen   bool // whether the manager sees the moved tag before the deletion
		order  bool // whether the sealed digest is requested back, which is too late
	}{
		"Moved":   {"the sealed digest and the one that the tag is at", true, false},
		"Unseen":  {"the same when the release is the first to look", false, false},
		"Ordered": {"an order is ignored once the manifest is being deleted", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			manager := s.manage()
			m, a := s.sealedOne(quarantining)
			b := s.image("m", "a:1", "second").Digest.String()
			if tc.seen {
				manager = s.pollAgain(manager)
				s.entryOf(m, v1alpha1.ArtifactMoved, b)
			}
			manager.Stop()
			if tc.order {
				s.requestReseat(m, a)
			}
			s.delete(m)
			s.manage()
			s.goes(m)
			s.Expect(s.at("acme/m/a", "1")).To(gomega.BeEmpty())
			graves := slices.DeleteFunc(s.tombstones(), func(t v1alpha1.Tombstone) bool { return t.Spec.Cause != v1alpha1.CauseReleased })
			s.Expect(graves).To(gomega.HaveLen(1))
			s.Expect(graves[0].Spec.Artifacts[0].Digests).To(gomega.Equal([]string{b, a}), tc.reason)
			s.Expect(s.at("acme/m/a", undoTag(a))).To(gomega.Equal(a))

			again := s.applied("m", "a:1")
			s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(a), tc.reason)
			s.eventually(again, v1alpha1.ConditionReady, "True/Ready")
		})
	}
}

func TestI1APurgeKeepsWhatWasSealed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage(scheduled)
	s.scheduledStore(noGrace)
	a := s.image("m", "a:1", "sealed").Digest.String()
	m := s.applied("m", "a:1")
	s.seals(m)
	b := s.image("m", "a:1", "second").Digest.String()
	s.pollAgain(manager, scheduled)
	s.entryOf(m, v1alpha1.ArtifactMoved, b)

	got := s.sweeps(s.prey(), nil)
	s.Expect(got).To(gomega.HaveKeyWithValue(a, "Held"), "the manifest lives")
	s.Expect(pullsWhole(t, s.inside, "acme/m/a", a)).To(gomega.Equal(a))
	s.Expect(pullsWhole(t, s.inside, "acme/m/a", "1")).To(gomega.Equal(b))

	s.requestReseat(m, a)
	s.reseated(m, "True/Ready")
	got = s.sweeps(s.prey(), nil)
	s.Expect(got).To(gomega.HaveKeyWithValue(b, "Overwritten"), "what was pushed to a sealed tag goes like any other")
	s.Expect(s.at("acme/m/a", b)).To(gomega.BeEmpty())
	s.Expect(pullsWhole(t, s.inside, "acme/m/a", "1")).To(gomega.Equal(a))
}

// Missing tags and moved ones are reported together.
func TestTamperedAndMissingAreToldTogether(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage()
	m, digests := s.uploaded()
	s.seals(m)
	now := s.image("m", "a:1", "second").Digest.String()
	s.strangerUntags("acme/m/b", "1")
	s.pollAgain(manager)
	s.says(m, v1alpha1.ConditionUploaded, "False/Tampered",
		"acme/m/a:1 (sealed at "+digests["acme/m/a"]+", now at "+now+")", "acme/m/b:1 (last seen at "+digests["acme/m/b"]+")", "restore-digest=<sealed digest>")
	s.Expect(strings.Count(apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionUploaded).Message, "1 of 2")).To(gomega.Equal(2))

	s.requestReseat(m, digests["acme/m/a"])
	s.reseated(m, "False/Missing")
	s.says(m, v1alpha1.ConditionUploaded, "False/Missing", "nfo.dev/restore-digest="+digests["acme/m/b"])
	s.requestReseat(m, digests["acme/m/b"])
	s.reseated(m, "True/Ready")
	s.Expect(s.contents()).To(gomega.Equal(tagged(digests, tagOne)))
}
