package integration

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func quarantining(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Undo = v1alpha1.UndoQuarantineTag }

func undoTag(d string) string { return graph.UndoTag(digest.Digest(d)) }

// collects makes the registry delete a digest as soon as its last tag is removed. Other
// registries do this within hours. If not nil, seen is called before each removal of a tag.
func (s *scene) collects(seen func(repository, tag string)) {
	s.registry.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		path, reference, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/manifests/")
		if req.Method != http.MethodDelete || reference == "" || strings.Contains(reference, ":") {
			return false
		}
		if seen != nil {
			seen(path, reference)
		}
		d := s.at(path, reference)
		s.registry.App.ServeHTTP(w, req)
		for name, at := range s.contents() {
			if strings.HasPrefix(name, path+":") && at == d {
				return true
			}
		}
		s.discard(path, d)
		return true
	})
}

// discard deletes a digest directly in the registry.
func (s *scene) discard(repository, d string) {
	s.registry.App.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/v2/"+repository+"/manifests/"+d, nil))
}

// uploadedTo is like uploaded, but with the given store.
func (s *scene) uploadedTo(st *v1alpha1.ArtifactStore) (m *v1alpha1.ArtifactManifest, digests map[string]string) {
	s.t.Helper()
	digests = map[string]string{"acme/m/a": s.image("m", "a:1", "a").Digest.String(), "acme/m/b": s.image("m", "b:1", "b").Digest.String()}
	m = s.manifest("m", "a:1", "b:1")
	s.create(st, m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	return m, digests
}

// tagged returns the contents of a registry in which each digest has exactly one tag, whose name the function returns.
func tagged(digests map[string]string, name func(d string) string) map[string]string {
	out := map[string]string{}
	for repository, d := range digests {
		out[repository+":"+name(d)] = d
	}
	return out
}

func tagOne(string) string { return "1" }

func TestI5QuarantineOutlivesTheRegistrysOwnCollection(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.collects(nil)
	st := s.store("acme", quarantining)
	m, digests := s.uploadedTo(st)
	s.delete(m)
	s.goes(m)
	s.Expect(s.contents()).To(gomega.Equal(tagged(digests, undoTag)))
	s.condition(st, "")
	s.Expect(st.Status.Capabilities.TagDelete).To(gomega.Equal(v1alpha1.Supported))

	again := s.manifest("m", "a:1", "b:1")
	s.create(again)
	s.eventually(again, v1alpha1.ConditionUploaded, "True/Complete")
	s.Eventually(s.tombstones).Should(gomega.BeEmpty())
	s.Expect(s.contents()).To(gomega.Equal(tagged(digests, tagOne)), "the undo tags go with the undo")
}

func TestI5WithoutQuarantineTheLossIsTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	st := s.store("acme")
	m, digests := s.uploadedTo(st)
	other := s.manifest("other", "c:1")
	s.image("other", "c:1", "c")
	s.create(other)
	s.eventually(other, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(other) // this shows that the registry can remove a tag alone; it collects from now on
	s.goes(other)
	s.collects(nil)
	s.delete(m)
	s.goes(m)
	s.Expect(s.at("acme/m/a", digests["acme/m/a"])).To(gomega.BeEmpty())

	again := s.manifest("m", "a:1")
	s.create(again)
	s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Warning UndoLost Restoring"))
	var graves []v1alpha1.Tombstone
	for _, t := range s.tombstones() {
		if t.Spec.Manifest.Name == "m" {
			graves = append(graves, t)
		}
	}
	s.Expect(graves).To(gomega.HaveLen(1))
	e := graves[0].Entry("acme/m/a", "1")
	s.Expect(string(e.State)+" "+e.Reason).To(gomega.HavePrefix("Untagged UndoLost: "), "the undo lives through its grace")
}

func TestI6ATrialWithAQuarantineTagGivesAllBack(t *testing.T) {
	t.Parallel()
	kinds := map[string]struct {
		reason string
		make   func(*scene)
	}{
		"TakesDigest": {"the registry removes the digest with the tag, and so all tags on it", func(s *scene) { s.registry.TagDeleteTakesDigest() }},
		"Refuses":     {"the registry removes no tags", func(s *scene) { s.registry.RefuseTagDelete() }},
	}
	for name, tc := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			tc.make(s)
			d := s.image("m", "a:1", "a").Digest.String()
			s.image("m", "a:sibling", "a")
			m, st := s.manifest("m", "a:1"), s.store("acme", quarantining)
			s.create(st, m)
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.delete(m)
			s.goes(m)
			for _, tag := range []string{"1", "sibling", d} {
				s.Expect(s.at("acme/m/a", tag)).To(gomega.Equal(d), "%s: %s", tc.reason, tag)
			}
			s.condition(st, "")
			s.Expect(st.Status.Capabilities.TagDelete).To(gomega.Equal(v1alpha1.Unsupported))
			grave := s.tombstones()[0]
			s.Expect(grave.Entry("acme/m/a", "1").Reason).To(gomega.HavePrefix(v1alpha1.TagDeleteUnsupported))
		})
	}
}

func TestI1ATakenUndoTagIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	d := s.image("m", "a:1", "a").Digest.String()
	other := s.image("m", "a:"+undoTag(d), "other").Digest.String()
	m, st := s.manifest("m", "a:1"), s.store("acme", quarantining)
	s.create(st, m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.says(m, v1alpha1.ConditionDeletionBlocked, "True/TagMoved", "the undo tag is taken", "spec.purge.undo")
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:1": d, "acme/m/a:" + undoTag(d): other}))

	change(s, st, func(st *v1alpha1.ArtifactStore) { st.Spec.Purge.Undo = v1alpha1.UndoUntagged })
	s.goes(m)
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:" + undoTag(d): other}))
}

func TestI5TwoEntriesShareOneUndoTag(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	s.collects(nil)
	d := s.image("m", "a:1", "a").Digest.String()
	s.image("m", "a:2", "a")
	m := s.manifest("m", "a:1", "a:2")
	s.create(s.store("acme", quarantining), m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:" + undoTag(d): d}))

	again := s.manifest("m", "a:1")
	s.create(again)
	s.eventually(again, v1alpha1.ConditionUploaded, "True/Complete")
	s.Eventually(func() v1alpha1.TombstoneState {
		grave := s.tombstones()[0]
		return grave.Entry("acme/m/a", "1").State
	}).Should(gomega.Equal(v1alpha1.TombstoneRestored))
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:1": d, "acme/m/a:" + undoTag(d): d}), "the other entry can still be restored")

	change(s, again, func(m *v1alpha1.ArtifactManifest) {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "a", ArtifactVersion: "2"})
	})
	s.Eventually(s.tombstones).Should(gomega.BeEmpty())
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:1": d, "acme/m/a:2": d}))
}

func TestI1AnUndoTagThatAManifestListsIsItsOwn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		before bool
	}{
		"Before": {"it is listed when it is released, and then keeps the digest itself", true},
		"After":  {"it is listed first when the other tag is restored", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			s.collects(nil)
			d := s.image("m", "a:1", "a").Digest.String()
			all := map[string]string{"acme/m/a:1": d, "acme/m/a:" + undoTag(d): d}
			m := s.manifest("m", "a:1")
			if tc.before {
				s.image("m", "a:"+undoTag(d), "a")
				m = s.manifest("m", "a:1", "a:"+undoTag(d))
			}
			s.create(s.store("acme", quarantining), m)
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.delete(m)
			s.goes(m)
			s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:" + undoTag(d): d}), tc.reason)

			again := s.manifest("m", "a:1", "a:"+undoTag(d))
			s.create(again)
			s.eventually(again, v1alpha1.ConditionUploaded, "True/Complete")
			if !tc.before { // an entry whose tag exists is not restored, and so its tombstone is not consumed
				s.Eventually(s.tombstones).Should(gomega.BeEmpty())
			}
			s.Expect(s.contents()).To(gomega.Equal(all), tc.reason)
		})
	}
}

func TestOverwrittenDigestIsQuarantined(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		lost   bool
		state  string
		kept   bool
	}{
		"There": {"the old digest is kept by its undo tag", false, "True/Untagged", true},
		"Lost":  {"the registry was faster: nothing can be kept, and that is not an error", true, "False/UndoLost", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			m := s.manifest("m", "a:1")
			s.create(s.store("acme", quarantining), m)
			old := s.image("m", "a:1", "old").Digest.String()
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			now := s.image("m", "a:1", "new").Digest.String()
			if tc.lost {
				s.discard("acme/m/a", old)
			}
			change(s, m, func(m *v1alpha1.ArtifactManifest) { // a new generation is polled at once
				m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "b", ArtifactVersion: "1"})
			})
			s.Eventually(func() string { s.condition(m, ""); return m.Status.Artifacts[0].Digest }).Should(gomega.Equal(now))
			graves := s.tombstones()
			s.Expect(graves).To(gomega.HaveLen(1))
			s.Expect(s.condition(&graves[0], v1alpha1.ConditionReady)).To(gomega.Equal(tc.state), tc.reason)
			s.Expect(s.at("acme/m/a", undoTag(old)) == old).To(gomega.Equal(tc.kept), tc.reason)
		})
	}
}

// A holder is created during the last untag. Everything is restored, and no undo tag remains.
func TestI3AnUndoneReleaseLeavesNoUndoTag(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	var once sync.Once
	s.collects(func(repository, tag string) {
		if repository == "acme/m/b" && tag == "1" {
			once.Do(func() { s.create(s.definition("late", "m", "a")) })
		}
	})
	m, digests := s.uploadedTo(s.store("acme", quarantining))
	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.Eventually(s.tombstones).Should(gomega.BeEmpty())
	s.Expect(s.contents()).To(gomega.Equal(tagged(digests, tagOne)))
}

// The same with a registry that deletes the digest with any of its tags: the undo tag stays.
func TestI6AnUndoTagStaysWhereItsDigestWouldGoWithIt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	var once sync.Once
	s.registry.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodDelete {
			return false
		}
		once.Do(func() { s.create(s.definition("late", "m", "a")) })
		s.registry.DeleteDigestOf(w, req)
		return true
	})
	m, digests := s.uploadedTo(s.store("acme", quarantining))
	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.Eventually(s.tombstones).Should(gomega.BeEmpty())
	for repository, d := range digests {
		s.Expect(s.at(repository, d)).To(gomega.Equal(d))
		s.Expect(s.at(repository, "1")).To(gomega.Equal(d))
	}
}

func TestAPurgeRemovesTheUndoTagWithItsDigest(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.collects(nil)
	s.scheduledStore(noGrace, quarantining)
	a, b := s.releasedImages()
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/m/a:" + undoTag(a): a, "acme/m/b:" + undoTag(b): b}))
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(report.Kept).To(gomega.BeEmpty())
	s.Expect(s.contents()).To(gomega.BeEmpty())
	s.Expect(s.at("acme/m/a", a) + s.at("acme/m/b", b)).To(gomega.BeEmpty())
	s.Expect(s.tombstones()).To(gomega.BeEmpty())
}

func TestI5ARestoreGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, digests := s.uploadedTo(s.store("acme", quarantining))
	s.delete(m)
	s.goes(m)
	s.registry.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut || req.URL.Path != "/v2/acme/m/b/manifests/1" {
			return false
		}
		registrytest.Fail(w, http.StatusServiceUnavailable, "UNAVAILABLE", "later")
		return true
	})
	again := s.manifest("m", "a:1", "b:1")
	s.create(again)
	s.Eventually(func() []v1alpha1.TombstoneState {
		grave := s.tombstones()[0]
		return []v1alpha1.TombstoneState{grave.Entry("acme/m/a", "1").State, grave.Entry("acme/m/b", "1").State}
	}).Should(gomega.Equal([]v1alpha1.TombstoneState{v1alpha1.TombstoneRestored, v1alpha1.TombstoneRestoring}))
	s.nothingLost(digests)
	s.registry.Intercept(nil)
	s.Eventually(s.tombstones).Should(gomega.BeEmpty())
	s.Expect(s.contents()).To(gomega.Equal(tagged(digests, tagOne)))
}

func TestI4ACrashInAQuarantineLosesNothing(t *testing.T) {
	t.Parallel()
	crashes(t, 15, func(s *scene, f *fuse) {
		s.collects(nil)
		before := s.manage()
		m, digests := s.uploadedTo(s.store("acme", quarantining))
		before.Stop()
		s.delete(m)
		s.crashing(f, func() bool { s.condition(m, ""); return len(s.tombstones()) > 0 && s.gone(m) })
		s.nothingLost(digests)
		s.manage()
		s.goes(m)
		s.nothingLost(digests)
		s.Expect(s.contents()).To(gomega.Equal(tagged(digests, undoTag)))
		s.Expect(s.tombstones()).To(gomega.HaveLen(1))
		grave := s.tombstones()[0]
		for repository := range digests {
			s.Expect(grave.Entry(repository, "1").State).To(gomega.Equal(v1alpha1.TombstoneUntagged))
		}
	})
}

func TestI5ACrashInARestoreFromQuarantineLosesNothing(t *testing.T) {
	t.Parallel()
	crashes(t, 16, func(s *scene, f *fuse) {
		s.collects(nil)
		before := s.manage()
		m, digests := s.uploadedTo(s.store("acme", quarantining))
		s.delete(m)
		s.goes(m)
		before.Stop()
		again := s.manifest("m", "a:1", "b:1")
		s.create(again)
		s.crashing(f, func() bool { return s.condition(again, v1alpha1.ConditionUploaded) == "True/Complete" })
		s.nothingLost(digests)
		s.manage()
		s.eventually(again, v1alpha1.ConditionUploaded, "True/Complete")
		s.Eventually(s.tombstones).Should(gomega.BeEmpty(), "the restored entries are consumed")
		s.Expect(s.contents()).To(gomega.Equal(tagged(digests, tagOne)))
	})
}
