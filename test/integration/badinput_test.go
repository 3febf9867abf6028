package integration

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// orphan sets the annotation with which a manifest or store can be deleted although its registry no longer exists.
func orphan[T client.Object](o T) {
	o.SetAnnotations(map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan})
}

// hopeless is the advice of a blocked deletion for a registry that never comes back.
const hopeless = "annotate the manifest or its store with nfo.dev/on-delete=Orphan"

// recheck is how long it may take until the manager retries something that only a person can correct.
const recheck = 2 * patience

// touches returns a match for the requests to the repositories of a manifest.
func touches(manifest string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/"+manifest+"/") }
}

func TestStoreThatDoesNotExist(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	early, never, lost := s.manifest("early", "a:1"), s.manifest("never", "a:1"), s.manifest("lost", "a:1")
	never.Spec.ArtifactStoreRef.Name = "unknown"
	s.image("early", "a:1", "one")
	s.registry.Forget()
	s.create(early, never)
	s.says(early, v1alpha1.ConditionUploaded, "Unknown/StoreNotFound", "ArtifactStore acme does not exist in this namespace; create it")
	s.eventually(never, v1alpha1.ConditionReady, "False/StoreNotFound")
	s.delete(never)
	s.goes(never)
	s.Expect(s.registry.Requests()).To(gomega.BeEmpty(), "a registry that nobody named was asked")
	s.Expect(s.tombstones()).To(gomega.BeEmpty())

	store := s.store("acme")
	s.create(store, lost)
	s.eventually(early, v1alpha1.ConditionUploaded, "True/Complete")
	d := s.image("lost", "a:1", "two").Digest.String()
	s.eventually(lost, v1alpha1.ConditionUploaded, "True/Complete")

	// A store that a manifest references can only be deleted by removing its finalizer.
	s.delete(store)
	s.eventually(store, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	change(s, store, func(o *v1alpha1.ArtifactStore) { o.Finalizers = nil })
	s.goes(store)
	s.delete(lost)
	s.says(lost, v1alpha1.ConditionDeletionBlocked, "True/StoreNotFound", "ArtifactStore acme", "create it again", hopeless)
	s.Expect(s.at("acme/lost/a", "1")).To(gomega.Equal(d))
	s.create(s.store("acme"))
	s.goes(lost)
	s.Expect(s.at("acme/lost/a", "1")).To(gomega.BeEmpty())
	s.Expect(s.at("acme/lost/a", d)).To(gomega.Equal(d))
	s.eventually(early, v1alpha1.ConditionUploaded, "True/Complete")
}

// registryFault is a fault of a registry that a test can begin and end.
type registryFault struct {
	reason string
	begin  func(r *registrytest.Registry)
	want   string
	says   []string
}

// answering makes answer respond to every request that matches, instead of the registry.
func answering(match func(*http.Request) bool, answer http.HandlerFunc) func(*registrytest.Registry) {
	return func(r *registrytest.Registry) {
		r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if match(req) {
				answer(w, req)
				return true
			}
			return false
		})
	}
}

func end(r *registrytest.Registry) {
	r.Intercept(nil)
	r.Up()
}

func method(methods ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		for _, m := range methods {
			if r.Method == m && strings.Contains(r.URL.Path, "/manifests/") {
				return true
			}
		}
		return false
	}
}

// page responds with a web page, as a proxy in front of a registry does.
func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html>Please log in</html>"))
	}
}

func failing(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { registrytest.Fail(w, status, code, "by the test") }
}

// headless omits the digest in its headers, and sends an invalid image manifest.
func headless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	_, _ = w.Write([]byte(`{"schemaVersion":2,"manifests":"none"}`))
}

func wrongDigest(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Docker-Content-Digest", "sha256:nonsense")
	w.Header().Set("Content-Length", "2")
	_, _ = w.Write([]byte("{}"))
}

func TestI2UploadedIsUnknownWhileTheRegistryFails(t *testing.T) {
	t.Parallel()
	reads := method(http.MethodHead, http.MethodGet)
	for name, c := range map[string]registryFault{
		"Down": {
			reason: "a registry that is down has lost nothing",
			begin:  (*registrytest.Registry).Down,
			want:   v1alpha1.ReasonUnavailable, says: []string{"EOF", "Check"},
		},
		"Failing": {
			reason: "5xx is not an answer about an artifact",
			begin:  answering(reads, failing(http.StatusServiceUnavailable, "UNAVAILABLE")),
			want:   v1alpha1.ReasonUnavailable, says: []string{"503", "Check"},
		},
		"LoginPageNotFound": {
			reason: "the 404 of what stands before the registry does not say that a tag is missing",
			begin:  answering(reads, page(http.StatusNotFound)),
			want:   v1alpha1.ReasonUnavailable, says: []string{"404", "Check"},
		},
		"LoginPage": {
			reason: "a web page is not an image manifest",
			begin:  answering(reads, page(http.StatusOK)),
			want:   v1alpha1.ReasonUnreadable, says: []string{"a web page answers", "Check"},
		},
		"WrongDigest": {
			reason: "a digest that is not one cannot be recorded",
			begin:  answering(reads, wrongDigest),
			want:   v1alpha1.ReasonUnreadable, says: []string{"sha256:nonsense", "Check"},
		},
		"Garbage": {
			reason: "where HEAD tells no digest the body is read, and this one is nonsense",
			begin:  answering(reads, headless),
			want:   v1alpha1.ReasonUnreadable, says: []string{"no list where one must be", "Check"},
		},
		"Denied": {
			reason: "a login that may not read says nothing about what is there",
			begin:  answering(reads, failing(http.StatusForbidden, "DENIED")),
			want:   v1alpha1.ReasonDenied, says: []string{"403", "Secret"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			m := s.manifest("m", "a:1")
			s.create(s.store("acme"), m)
			a := s.image("m", "a:1", "one").Digest.String()
			s.image("m", "b:1", "two")
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			before := s.contents()
			s.registry.Forget()

			c.begin(s.registry)
			change(s, m, func(m *v1alpha1.ArtifactManifest) { m.Spec.Artifacts = s.manifest("m", "a:1", "b:1").Spec.Artifacts })
			s.says(m, v1alpha1.ConditionUploaded, "Unknown/"+c.want, append(c.says, "acme/m/")...)
			s.says(m, v1alpha1.ConditionReady, "False/"+c.want, c.says...)
			s.Expect(m.Status.Artifacts[0].Digest).To(gomega.Equal(a), "%s; what was seen stays recorded", c.reason)
			s.Expect(m.Status.Artifacts[0].State).To(gomega.Equal(v1alpha1.ArtifactPresent), c.reason)
			s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Warning " + c.want + " Observing"))

			end(s.registry)
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)
			s.Expect(s.registry.Writes()).To(gomega.BeZero(), c.reason)
			s.Expect(s.tombstones()).To(gomega.BeEmpty(), c.reason)
		})
	}
}

func TestI2OneUnreadableArtifactHidesNoOther(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m := s.manifest("m", "bad:1", "good:1", "absent:1")
	s.image("m", "bad:1", "one")
	good := s.image("m", "good:1", "two").Digest.String()
	answering(touches("m/bad"), page(http.StatusOK))(s.registry)
	s.create(s.store("acme"), m)
	s.says(m, v1alpha1.ConditionUploaded, "Unknown/Unreadable", "acme/m/bad:1", "a web page answers")
	s.Expect(m.Status.Artifacts[1].Digest).To(gomega.Equal(good), "what cannot be read does not concern it")
	s.Expect(m.Status.Artifacts[0].Digest).To(gomega.BeEmpty())
	end(s.registry)
	s.says(m, v1alpha1.ConditionUploaded, "False/Missing", "1 of 3 artifacts are not in the registry: acme/m/absent:1")
}

func TestANameThatNoRegistryTakesConcernsItsArtifactOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	long := strings.Repeat("n", 250)
	m := s.manifest("m", long+":1", "good:1")
	good := s.image("m", "good:1", "one").Digest.String()
	s.create(m)
	s.says(m, v1alpha1.ConditionUploaded, "Unknown/InvalidURL", "of 257 characters, is not a repository name")
	s.Expect(m.Status.Artifacts[1].Digest).To(gomega.Equal(good))
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred(), report.Summary())
	s.delete(m)
	s.goes(m)
	s.Eventually(func() string {
		_, err = s.purge(t.Context(), false, nil)
		return s.at("acme/m/good", good)
	}).Should(gomega.BeEmpty())
	s.Expect(err).NotTo(gomega.HaveOccurred())
}

func TestVanishedTagIsMissingAndItsDigestStaysKnown(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m := s.manifest("m", "a:1")
	s.create(s.store("acme"), m)
	d := s.image("m", "a:1", "one").Digest.String()
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	gone := httptest.NewRecorder()
	s.inside.App.ServeHTTP(gone, httptest.NewRequest(http.MethodDelete, "/v2/acme/m/a/manifests/1", nil))
	s.Expect(gone.Code).To(gomega.Equal(http.StatusAccepted))
	s.registry.Forget()
	change(s, m, func(m *v1alpha1.ArtifactManifest) { // a new generation is polled at once
		m.Spec.Artifacts = s.manifest("m", "a:1", "b:1").Spec.Artifacts
	})
	s.says(m, v1alpha1.ConditionUploaded, "False/Missing", "acme/m/a:1 (last seen at "+d+")", "Push them")
	s.Expect(m.Status.Artifacts[0].Digest).To(gomega.Equal(d))
	s.Expect(m.Status.Artifacts[0].State).To(gomega.Equal(v1alpha1.ArtifactMissing))
	s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Warning Missing Observing"))
	s.Expect(s.registry.Writes()).To(gomega.BeZero(), "nobody released it, so nobody puts it back")
	s.Expect(s.at("acme/m/a", d)).To(gomega.Equal(d))

	s.image("m", "a:1", "one")
	s.image("m", "b:1", "two")
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
}

// notes returns the texts of the events about an object.
func (s *scene) notes(about string) []string {
	s.t.Helper()
	var l eventsv1.EventList
	if err := env.Client.List(s.t.Context(), &l, client.InNamespace(s.ns)); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range l.Items {
		if e.Regarding.Name == about {
			out = append(out, e.Note)
		}
	}
	return out
}

func TestI12OrphanLetsGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		stuck  bool // annotate only once the deletion is stuck
		store  bool // annotate the store
	}{
		"Manifest":          {reason: "one manifest is given up"},
		"ManifestOnceStuck": {reason: "the annotation alone wakes a deletion that waits", stuck: true},
		"ItsStore":          {reason: "all of a store is given up", store: true},
		"ItsStoreOnceStuck": {reason: "the annotation of a store wakes its manifests", store: true, stuck: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			store, m, nfdv := s.store("acme"), s.manifest("m", "a:1"), s.definition("nfdv", "m", "a")
			s.create(store, m, nfdv)
			s.image("m", "a:1", "one")
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")
			before := s.contents()
			s.registry.Forget()
			s.registry.Down()
			annotate := func() {
				if c.store {
					change(s, store, orphan)
				} else {
					change(s, m, orphan)
				}
			}
			if !c.stuck {
				annotate()
			}
			s.delete(m)
			s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
			s.delete(nfdv)
			if c.stuck {
				s.says(m, v1alpha1.ConditionDeletionBlocked, "True/Unavailable", hopeless)
				annotate()
			}
			s.goes(nfdv, m)
			s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Normal NotTouched Untagging"))
			s.delete(store)
			s.goes(store)
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)
			s.Expect(s.tombstones()).To(gomega.BeEmpty(), c.reason)
			s.Expect(s.registry.Writes()).To(gomega.BeZero(), c.reason)
		})
	}
}

func TestReferenceToWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	nfdv, nsdv := s.definition("nfdv", "m", "a"), s.design("nsdv", "m", "a:1", "nfdv2")
	s.create(s.store("acme"), nfdv, nsdv)
	missing := "artifactmanifests/" + s.ns + "/m"
	s.says(nfdv, v1alpha1.ConditionResolved, "False/NotFound", missing, "Create them, or change the reference")
	s.says(nfdv, v1alpha1.ConditionReady, "False/NotFound", missing)
	s.says(nsdv, v1alpha1.ConditionResolved, "False/NotFound", missing, "networkfunctiondefinitionversions/"+s.ns+"/nfdv2")
	s.Eventually(func() []string { return s.events("nfdv") }).Should(gomega.ContainElement("Warning NotFound Resolving"))

	m, nfdv2 := s.manifest("m", "a:1"), s.definition("nfdv2", "m", "a")
	d := s.image("m", "a:1", "one").Digest.String()
	s.create(m)
	s.eventually(nfdv, v1alpha1.ConditionResolved, "True/Resolved")
	s.says(nsdv, v1alpha1.ConditionResolved, "False/NotFound", "nfdv2")
	s.create(nfdv2)
	s.eventually(nsdv, v1alpha1.ConditionResolved, "True/Resolved")

	// A definition that is created while its manifest is terminating reports this, and still holds the manifest.
	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	late := s.definition("late", "m", "a")
	s.create(late)
	s.says(late, v1alpha1.ConditionResolved, "False/Terminating", missing, "Delete this object or change the reference")
	s.eventually(nfdv, v1alpha1.ConditionResolved, "False/Terminating")
	s.delete(nsdv, nfdv, nfdv2)
	s.goes(nsdv, nfdv, nfdv2)
	s.Eventually(func() string { return s.find(m, v1alpha1.ConditionDeletionBlocked).Message }).Should(gomega.ContainSubstring(
		`The dependent resources are: "networkfunctiondefinitionversions/` + s.ns + `/late"`))
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(d))

	change(s, late, func(o *v1alpha1.NetworkFunctionDefinitionVersion) {
		o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactManifestRef.Name = "other"
	})
	s.goes(m)
	s.eventually(late, v1alpha1.ConditionResolved, "False/NotFound")
	s.Expect(s.at("acme/m/a", d)).To(gomega.Equal(d))
}
