package integration

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestI4DeletionStaysWhileTheRegistryFails(t *testing.T) {
	t.Parallel()
	manifests := method(http.MethodGet)
	for name, c := range map[string]registryFault{
		"Down": {
			reason: "no evidence, no release",
			begin:  (*registrytest.Registry).Down,
			want:   v1alpha1.ReasonUnavailable, says: []string{"EOF"},
		},
		"DeleteFails": {
			reason: "a write that failed may have been done: look, and do it again",
			begin:  answering(method(http.MethodDelete), failing(http.StatusInternalServerError, "UNKNOWN")),
			want:   v1alpha1.ReasonUnavailable, says: []string{"500"},
		},
		"DeleteDenied": {
			reason: "a login that may not delete is for a person to mend",
			begin:  answering(method(http.MethodDelete), failing(http.StatusForbidden, "DENIED")),
			want:   v1alpha1.ReasonDenied, says: []string{"403", "Secret"},
		},
		"TagsFail": {
			reason: "the first release must know every tag at the digest (I6)",
			begin:  answering(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/tags/list") }, failing(http.StatusBadGateway, "UNKNOWN")),
			want:   v1alpha1.ReasonUnavailable, says: []string{"502"},
		},
		"Garbage": {
			reason: "an image manifest that cannot be read could not be put back",
			begin:  answering(manifests, headless),
			want:   v1alpha1.ReasonUnreadable, says: []string{"a:1"},
		},
		"LoginPage": {
			reason: "a web page is not an image manifest",
			begin:  answering(manifests, page(http.StatusOK)),
			want:   v1alpha1.ReasonUnreadable, says: []string{"a:1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m, d := uploadedOne(t)
			before := s.contents()

			c.begin(s.registry)
			s.delete(m)
			s.says(m, v1alpha1.ConditionDeletionBlocked, "True/"+c.want, append(c.says, "No object references this manifest", hopeless)...)
			s.eventually(m, v1alpha1.ConditionReady, "False/Deleting")
			s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Warning " + c.want + " Deleting"))
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)

			end(s.registry)
			s.goes(m)
			s.Expect(s.contents()).To(gomega.BeEmpty())
			s.Expect(s.at("acme/m/a", d)).To(gomega.Equal(d), c.reason)
			s.Expect(s.tombstones()).To(gomega.HaveLen(1))
			s.Expect(s.tombstones()[0].Entry("acme/m/a", "1").State).To(gomega.Equal(v1alpha1.TombstoneUntagged))
		})
	}
}

// uploadedOne returns a scene with an uploaded manifest of one
// artifact, and the artifact's digest. Eventually waits up to recheck.
func uploadedOne(t *testing.T) (*scene, *v1alpha1.ArtifactManifest, string) {
	t.Helper()
	s := newScene(t)
	s.SetDefaultEventuallyTimeout(recheck)
	s.manage()
	m := s.manifest("m", "a:1")
	s.create(s.store("acme"), m)
	d := s.image("m", "a:1", "one").Digest.String()
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	return s, m, d
}

// A tag is overwritten while its deletion is blocked. The tombstone records
// both digests, so that a restore uses the one that was pushed last.
func TestI4WhatIsPushedDuringADeletionIsRecorded(t *testing.T) {
	t.Parallel()
	s, m, one := uploadedOne(t)
	answering(method(http.MethodDelete), failing(http.StatusForbidden, "DENIED"))(s.registry)
	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/"+v1alpha1.ReasonDenied)
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))

	two := s.image("m", "a:1", "two").Digest.String()
	end(s.registry)
	s.goes(m)
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))
	s.Expect(s.tombstones()[0].Spec.Artifacts[0].Digests).To(gomega.Equal([]string{one, two}))
	s.Expect(s.at("acme/m/a", one)).To(gomega.Equal(one))
	s.Expect(s.at("acme/m/a", two)).To(gomega.Equal(two))
}

// once makes answer respond to the first request that matches.
func once(match func(*http.Request) bool, answer func(*registrytest.Registry, http.ResponseWriter, *http.Request)) func(*registrytest.Registry) {
	return func(r *registrytest.Registry) {
		var first sync.Once
		r.Intercept(func(w http.ResponseWriter, req *http.Request) (answered bool) {
			if match(req) {
				first.Do(func() {
					answered = true
					answer(r, w, req)
				})
			}
			return answered
		})
	}
}

// lingers waits until the client has cancelled its request, or at most atMost. It reports whether the client has.
func lingers(req *http.Request, atMost time.Duration) (givenUp bool) {
	select {
	case <-req.Context().Done():
		return true
	case <-time.After(atMost):
		return false
	}
}

func TestI3SlowRegistryLosesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		slow   string // the method of the one request that is slow
		answer func(s *scene, w http.ResponseWriter, req *http.Request) error
		held   bool // held by a definition that was created during the slow request
	}{
		"SlowRead": {
			reason: "evidence that has become old while the registry was asked is read again",
			slow:   http.MethodHead, held: true,
			answer: func(s *scene, w http.ResponseWriter, req *http.Request) error {
				err := env.Client.Create(s.t.Context(), s.definition("nfdv", "m", "a"))
				lingers(req, 6*time.Second)
				s.registry.App.ServeHTTP(w, req)
				return err
			},
		},
		"WriteHangs": {
			reason: "a write ends before its evidence is too old, and is done again on new evidence",
			slow:   http.MethodDelete,
			answer: func(_ *scene, _ http.ResponseWriter, req *http.Request) error { return ends(req) },
		},
		"AnswerIsLost": {
			reason: "a tag that went although no answer came is gone (I11)",
			slow:   http.MethodDelete,
			answer: func(s *scene, _ http.ResponseWriter, req *http.Request) error {
				s.registry.App.ServeHTTP(httptest.NewRecorder(), req)
				return ends(req)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			m := s.manifest("m", "a:1")
			s.create(s.store("acme"), m)
			d := s.image("m", "a:1", "one").Digest.String()
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			answered := make(chan error, 1)
			s.registry.Forget()
			once(method(c.slow), func(_ *registrytest.Registry, w http.ResponseWriter, req *http.Request) {
				answered <- c.answer(s, w, req)
			})(s.registry)
			s.delete(m)
			s.Expect(<-answered).To(gomega.Succeed(), c.reason)
			if c.held {
				s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
				s.Expect(s.registry.Count(deletes)).To(gomega.BeZero(), c.reason)
				s.delete(s.definition("nfdv", "m", "a"))
			}
			s.goes(m)
			s.Expect(s.contents()).To(gomega.BeEmpty(), c.reason)
			s.Expect(s.at("acme/m/a", d)).To(gomega.Equal(d), c.reason)
			s.Expect(s.tombstones()[0].Spec.Artifacts[0].Digests).To(gomega.Equal([]string{d}), c.reason)
		})
	}
}

// ends waits until the client has cancelled a write, which it must do before its evidence is too old.
func ends(req *http.Request) error {
	if !lingers(req, 10*time.Second) {
		return errors.New("it still waits for the answer")
	}
	return nil
}

func TestI6TagThatCannotGoAloneStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason  string
		options []registrytest.Option
		fault   func(*registrytest.Registry)
		writes  int // number of write requests in the whole release; 0: any number
	}{
		"DeleteDisabled": {
			reason:  "a registry as it comes deletes nothing",
			options: []registrytest.Option{registrytest.DeleteDisabled()}, writes: 1,
		},
		"ReadOnly": {
			reason:  "a registry in maintenance takes no write",
			options: []registrytest.Option{registrytest.ReadOnly()}, writes: 1,
		},
		"RefusesTagDelete": {
			reason: "a registry from before tag deletion refuses",
			fault:  (*registrytest.Registry).RefuseTagDelete, writes: 1,
		},
		"TagDeleteTakesDigest": {
			reason: "a registry that takes the digest with the tag gets all of it back, the sibling too",
			fault:  (*registrytest.Registry).TagDeleteTakesDigest,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if c.options != nil {
				s = newGuardedScene(t, c.options...)
			} else {
				c.fault(s.registry)
			}
			s.manage()
			store, m := s.store("acme"), s.manifest("m", "a:1", "b:1", "vanished:1")
			a, b := s.image("m", "a:1", "one").Digest.String(), s.image("m", "b:1", "two").Digest.String()
			s.image("m", "a:stable", "one") // another tag of the same digest, which no manifest lists
			v := s.image("m", "vanished:1", "three").Digest.String()
			s.create(store, m)
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.inside.App.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/v2/acme/m/vanished/manifests/1", nil))
			before := s.contents()
			s.Expect(before).To(gomega.HaveLen(3))
			s.registry.Forget()

			s.delete(m)
			s.goes(m)
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)
			for _, d := range []struct{ repository, digest string }{{"acme/m/a", a}, {"acme/m/b", b}, {"acme/m/vanished", v}} {
				s.Expect(s.at(d.repository, d.digest)).To(gomega.Equal(d.digest), c.reason)
			}
			if c.writes > 0 {
				s.Expect(s.registry.Writes()).To(gomega.Equal(c.writes), "what was learnt by one tag is not tried with the next")
			}
			s.unableToUntag(store)

			s.create(s.manifest("m", "a:1", "b:1"))
			s.eventually(s.manifest("m"), v1alpha1.ConditionUploaded, "True/Complete")
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)
		})
	}
}

// unableToUntag checks everything that reports that the tags of manifest m stay until the purge.
func (s *scene) unableToUntag(store *v1alpha1.ArtifactStore) {
	s.t.Helper()
	graves := s.tombstones()
	s.Expect(graves).To(gomega.HaveLen(1))
	for _, repository := range []string{"acme/m/a", "acme/m/b"} {
		e := graves[0].Entry(repository, "1")
		s.Expect(e.State).To(gomega.Equal(v1alpha1.TombstoneUntagged))
		s.Expect(e.Reason).To(gomega.HavePrefix("TagDeleteUnsupported"))
	}
	s.Expect(graves[0].Entry("acme/m/vanished", "1").Reason).To(gomega.BeEmpty(),
		"a tag that was not there at the release is not ours to remove, should somebody put it back")
	s.Eventually(func() v1alpha1.Support { s.find(store, ""); return store.Status.Capabilities.TagDelete }).Should(gomega.Equal(v1alpha1.Unsupported))
	s.Eventually(func() string { return s.find(store, v1alpha1.ConditionPurgeHealthy).Message }).
		Should(gomega.ContainSubstring("cannot remove a tag alone: a released tag stays until a purge removes it with its digest"))
	s.Eventually(func() []string { return s.notes("m") }).
		Should(gomega.ContainElement(gomega.ContainSubstring("stay until a purge removes them with their digests")))
}
