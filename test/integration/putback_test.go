package integration

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// requestReseat requests that the sealed tags of a digest are set back to it.
func (s *scene) requestReseat(m *v1alpha1.ArtifactManifest, d string) {
	s.t.Helper()
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Annotations = map[string]string{v1alpha1.AnnotationRestoreDigest: d}
	})
}

// reseatRequested reports whether the manifest still has this request.
func (s *scene) reseatRequested(m *v1alpha1.ArtifactManifest) bool {
	s.t.Helper()
	s.condition(m, "")
	_, there := m.Annotations[v1alpha1.AnnotationRestoreDigest]
	return there
}

// reseated waits until the request is removed and Ready has the expected status and reason.
func (s *scene) reseated(m *v1alpha1.ArtifactManifest, ready string) {
	s.t.Helper()
	s.Eventually(func() bool { return s.reseatRequested(m) }).Should(gomega.BeFalse(), "the annotation should go")
	s.Expect(s.condition(m, v1alpha1.ConditionReady)).To(gomega.Equal(ready), "the status is written before the annotation goes")
}

// recordsBefore fails the test if the tag 1 of m/a is overwritten while it is at a digest that no tombstone has
// recorded (I4). If not nil, meddle is called once, immediately before the read on which the write is based.
func (s *scene) recordsBefore(sealed string, meddle func()) {
	var once sync.Once
	s.registry.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/v2/acme/m/a/manifests/"+sealed && meddle != nil:
			once.Do(meddle)
		case r.Method == http.MethodPut && r.URL.Path == "/v2/acme/m/a/manifests/1":
			now := s.at("acme/m/a", "1")
			if now != "" && !slices.ContainsFunc(s.tombstones(), func(t v1alpha1.Tombstone) bool {
				return slices.Contains(t.Spec.Artifacts[0].Digests, now)
			}) {
				s.t.Errorf("I4: %s is overwritten and no tombstone has it", now)
			}
		}
		return false
	})
}

func TestASealedDigestIsPutBackOnOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		store   []func(*v1alpha1.ArtifactStore)
		seen    bool // the drift is seen before the order comes
		untag   bool // the tag is removed instead of overwritten
		buried  bool
		undoTag bool
	}{
		"Moved":      {reason: "what was pushed in its place is recorded first", seen: true, buried: true},
		"Unseen":     {reason: "the order is the first to look", buried: true},
		"Missing":    {reason: "there is nothing to record", seen: true, untag: true},
		"Quarantine": {reason: "both get their undo tags", store: []func(*v1alpha1.ArtifactStore){quarantining}, seen: true, buried: true, undoTag: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			manager := s.manage()
			m, a := s.sealedOne(tc.store...)
			want := map[string]string{"acme/m/a:1": a}
			var b string
			if tc.untag {
				s.strangerUntags("acme/m/a", "1")
			} else {
				b = s.image("m", "a:1", "second").Digest.String()
			}
			if tc.undoTag {
				want["acme/m/a:"+undoTag(a)], want["acme/m/a:"+undoTag(b)] = a, b
			}
			s.recordsBefore(a, nil)
			if tc.seen {
				s.pollAgain(manager)
				s.Eventually(func() string { return s.condition(m, v1alpha1.ConditionReady) }).Should(gomega.HavePrefix("False/"))
			}
			s.requestReseat(m, a)
			s.reseated(m, "True/Ready")
			s.Expect(s.contents()).To(gomega.Equal(want), tc.reason)
			s.Expect(s.entryOf(m, v1alpha1.ArtifactPresent, "").Digest).To(gomega.Equal(a))
			s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Normal Restored Restoring"))
			if tc.buried {
				s.Expect(s.overwritten()).To(gomega.ConsistOf(a, b), tc.reason)
				s.Expect(pullsWhole(t, s.inside, "acme/m/a", b)).To(gomega.Equal(b), "nothing is lost")
			} else {
				s.Expect(s.tombstones()).To(gomega.BeEmpty(), tc.reason)
			}
		})
	}
}

func TestI4AnIntruderWhoMovesOnIsRecordedToo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, a := s.sealedOne()
	c := s.image("m", "a:other", "third").Digest.String()
	b := s.image("m", "a:1", "second").Digest.String()
	s.recordsBefore(a, func() { s.retags("acme/m/a", c, "1") })
	s.requestReseat(m, a)
	s.reseated(m, "True/Ready")
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(a))
	s.Expect(s.overwritten()).To(gomega.ConsistOf(a, b, c), "it was looked at again before it was overwritten")
}

// The manifest is deleted, or the request is removed, immediately before the write.
func TestI3AnOrderTakenBackIsNotObeyed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		meddle func(*scene, *v1alpha1.ArtifactManifest)
		then   func(*scene, *v1alpha1.ArtifactManifest)
	}{
		"TakenBack": {
			"the annotation is gone, live",
			func(s *scene, m *v1alpha1.ArtifactManifest) {
				change(s, m, func(m *v1alpha1.ArtifactManifest) { m.Annotations = nil })
			},
			func(s *scene, m *v1alpha1.ArtifactManifest) {
				s.eventually(m, v1alpha1.ConditionReady, "False/Tampered")
			},
		},
		"Deleted": {
			"it is being deleted",
			func(s *scene, m *v1alpha1.ArtifactManifest) { s.delete(m) },
			func(s *scene, m *v1alpha1.ArtifactManifest) { s.goes(m) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			m, a := s.sealedOne()
			b := s.image("m", "a:1", "second").Digest.String()
			var once sync.Once
			copied := m.DeepCopy()                                                   // the test itself continues to read m
			s.registry.Intercept(func(_ http.ResponseWriter, r *http.Request) bool { // the read of the tag in the pass
				if r.Method == http.MethodHead && r.URL.Path == "/v2/acme/m/a/manifests/1" {
					once.Do(func() { tc.meddle(s, copied) })
				}
				return false
			})
			s.registry.Forget()
			s.requestReseat(m, a)
			tc.then(s, m)
			s.Expect(s.registry.Count(func(r *http.Request) bool { return r.Method == http.MethodPut })).To(gomega.BeZero(), tc.reason)
			s.Expect(s.at("acme/m/a", b)).To(gomega.Equal(b))
		})
	}
}

func TestASealedDigestThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage()
	m, a := s.sealedOne()
	b := s.image("m", "a:1", "second").Digest.String()
	s.discard("acme/m/a", a)
	s.registry.Forget()
	s.requestReseat(m, a)
	s.reseated(m, "False/Tampered")
	s.Expect(s.registry.Writes()).To(gomega.BeZero())
	s.Expect(s.entryOf(m, v1alpha1.ArtifactMoved, b).Reason).To(gomega.HavePrefix("UndoLost: "))
	s.says(m, v1alpha1.ConditionUploaded, "False/Tampered", a+", which is not in the registry any more: push it again")
	s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Warning UndoLost Restoring"))
	s.Expect(s.overwritten()).To(gomega.Equal([]string{a}), "what keeps its tag is not buried")

	s.Expect(s.image("m", "a:1", "sealed").Digest.String()).To(gomega.Equal(a))
	s.pollAgain(manager)
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
	s.Expect(m.Status.Artifacts[0].Reason).To(gomega.BeEmpty())
}

func TestAnOrderThatCannotBeObeyedSaysWhy(t *testing.T) {
	t.Parallel()
	sealing := func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded }
	for name, tc := range map[string]struct {
		make  func(*v1alpha1.ArtifactManifest)
		value func(d string) string
		says  string
	}{
		"NoDigest":    {sealing, func(string) string { return "1" }, `"1", which is not a digest`},
		"Unknown":     {sealing, func(string) string { return digest.FromString("unknown").String() }, "no artifact of this manifest was sealed at that"},
		"Unsealed":    {func(*v1alpha1.ArtifactManifest) {}, func(d string) string { return d }, "not sealed"},
		"StoreScoped": {func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped; sealing(m) }, func(d string) string { return d }, "never touched"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			d := s.image("m", "a:1", "one").Digest.String()
			s.Expect(s.imageIn("acme/a", "one")).To(gomega.Equal(d))
			m := s.manifest("m", "a:1")
			tc.make(m)
			s.create(s.store("acme"), m)
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.registry.Forget()
			s.requestReseat(m, tc.value(d))
			s.says(m, v1alpha1.ConditionReady, "False/InvalidAnnotation", tc.says, "kubectl annotate am m nfo.dev/restore-digest-")
			s.Expect(s.reseatRequested(m)).To(gomega.BeTrue(), "it is there to be corrected")
			s.Expect(s.condition(m, v1alpha1.ConditionUploaded)).To(gomega.Equal("True/Complete"), "all else goes on")
			s.Expect(s.registry.Writes()).To(gomega.BeZero())

			change(s, m, func(m *v1alpha1.ArtifactManifest) { m.Annotations = nil })
			s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
		})
	}
	t.Run("Present", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.manage()
		m, a := s.sealedOne()
		s.registry.Forget()
		s.requestReseat(m, a)
		s.reseated(m, "True/Ready")
		s.Expect(s.registry.Writes()).To(gomega.BeZero(), "it is where it was sealed")
		s.Expect(s.tombstones()).To(gomega.BeEmpty())
	})
}

// What a StoreScoped manifest lists is never changed, even in the path of another manifest.
func TestI9ATagThatAStoreScopedManifestListsIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, a := s.sealedOne()
	old := s.manifest("old", "m/a:1")
	old.Spec.UploadPath = v1alpha1.StoreScoped
	s.create(old)
	b := s.image("m", "a:1", "second").Digest.String()
	s.registry.Forget()
	s.requestReseat(m, a)
	s.says(m, v1alpha1.ConditionReady, "False/NotTouched", "old: this manifest lists the tag too")
	s.Expect(s.reseatRequested(m)).To(gomega.BeTrue())
	s.Expect(s.registry.Writes()).To(gomega.BeZero())
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(b))
}

// A write that the registry refuses is reported and retried, and does not count as done.
func TestARefusedPutBackIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, a := s.sealedOne()
	b := s.image("m", "a:1", "second").Digest.String()
	var first sync.Once
	s.registry.Intercept(func(w http.ResponseWriter, r *http.Request) (answered bool) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/1") {
			first.Do(func() {
				answered = true
				failing(http.StatusInternalServerError, "UNKNOWN")(w, r)
			})
		}
		return answered
	})
	s.requestReseat(m, a)
	s.reseated(m, "True/Ready")
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(a))
	s.Expect(s.overwritten()).To(gomega.ConsistOf(a, b))
}

func TestI4ACrashInAPutBackLosesNothing(t *testing.T) {
	t.Parallel()
	crashes(t, 14, func(s *scene, f *fuse) {
		before := s.manage()
		m, a := s.sealedOne(quarantining)
		before.Stop()
		b := s.image("m", "a:1", "second").Digest.String()
		s.recordsBefore(a, nil)
		s.requestReseat(m, a)
		s.crashing(f, func() bool { return !s.reseatRequested(m) })
		s.Expect(s.at("acme/m/a", a)+s.at("acme/m/a", b)).To(gomega.Equal(a+b), "a digest is lost")
		if s.at("acme/m/a", "1") == a {
			s.Expect(s.overwrittenSoFar()).To(gomega.ContainElement(b), "I4")
		}
		s.manage()
		s.reseated(m, "True/Ready")
		s.Expect(s.entryOf(m, v1alpha1.ArtifactPresent, "").Digest).To(gomega.Equal(a))
		s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:1": a, "acme/m/a:" + undoTag(a): a, "acme/m/a:" + undoTag(b): b}))
		s.Expect(s.overwritten()).To(gomega.ConsistOf(a, b))
	})
}

// overwrittenSoFar returns the digests in all tombstones, whatever their state.
func (s *scene) overwrittenSoFar() []string {
	s.t.Helper()
	var digests []string
	for _, t := range s.tombstones() {
		digests = append(digests, t.Spec.Artifacts[0].Digests...)
	}
	return digests
}
