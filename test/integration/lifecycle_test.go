package integration

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// behind sends a request directly to the registry and returns the digest in its answer.
func behind(r *registrytest.Registry, req *http.Request) string {
	w := httptest.NewRecorder()
	r.App.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		return ""
	}
	return w.Header().Get("Docker-Content-Digest")
}

func TestUploadedFollowsTheRegistry(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m := s.manifest("m", "nginx:1.0.0", "chart:1.0.0")
	s.create(s.store("acme"), m)
	s.eventually(m, v1alpha1.ConditionUploaded, "False/Missing")
	s.Expect(s.find(m, v1alpha1.ConditionUploaded).Message).To(gomega.ContainSubstring("2 of 2 artifacts are not in the registry: acme/m/nginx:1.0.0, acme/m/chart:1.0.0"))

	d := s.image("m", "nginx:1.0.0", "one")
	s.image("m", "chart:1.0.0", "two")
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
	s.Expect(m.Status.Artifacts).To(gomega.HaveLen(2))
	s.Expect(m.Status.Artifacts[0]).To(gomega.Equal(v1alpha1.ArtifactStatus{
		ArtifactName: "nginx", ArtifactVersion: "1.0.0", Repository: "acme/m/nginx", Digest: d.Digest.String(),
		MediaType: d.MediaType, ConfigMediaType: ocispec.MediaTypeImageConfig, Size: d.Size, State: v1alpha1.ArtifactPresent,
	}))
}

func TestDeletionWaitsForHoldersAndReleases(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, nfdv := s.manifest("cnf", "nginx:1.0.0"), s.definition("nfdv", "cnf", "nginx")
	nsdv := s.design("nsdv", "cnf", "nginx:1.0.0", "nfdv")
	other := s.definition("other", "cnf2", "nginx")
	s.create(s.store("acme"), m, nfdv, nsdv, other)
	d := s.image("cnf", "nginx:1.0.0", "one").Digest.String()
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(nfdv, v1alpha1.ConditionResolved, "True/Resolved")
	s.eventually(nsdv, v1alpha1.ConditionResolved, "True/Resolved")
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")

	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.Expect(s.find(m, v1alpha1.ConditionDeletionBlocked).Message).To(gomega.HavePrefix(
		`The resource 'artifactmanifests/` + s.ns + `/cnf' has some resources attached to it. The dependent resources are: ` +
			`"networkfunctiondefinitionversions/` + s.ns + `/nfdv" (artifact nginx:1.0.0, application app), ` +
			`"networkservicedesignversions/` + s.ns + `/nsdv" (artifact nginx:1.0.0, application site)`))
	s.Eventually(func() []string { return s.events("cnf") }).Should(gomega.ContainElement("Warning InUse Deleting"))
	s.Expect(s.at("acme/cnf/nginx", "1.0.0")).To(gomega.Equal(d))
	s.Expect(s.tombstones()).To(gomega.BeEmpty())

	s.delete(nfdv)
	s.eventually(nfdv, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.delete(nsdv)
	s.goes(nsdv, nfdv, m)
	s.Expect(s.at("acme/cnf/nginx", "1.0.0")).To(gomega.BeEmpty())
	s.Expect(s.at("acme/cnf/nginx", d)).To(gomega.Equal(d))
	graves := s.tombstones()
	s.Expect(graves).To(gomega.HaveLen(1))
	s.Expect(graves[0].Name).To(gomega.Equal("cnf-" + string(m.UID)[:8]))
	s.Expect(graves[0].Spec.Artifacts[0].Digests).To(gomega.Equal([]string{d}))
	s.Expect(graves[0].Entry("acme/cnf/nginx", "1.0.0").State).To(gomega.Equal(v1alpha1.TombstoneUntagged))
	s.Expect(graves[0].Status.RestorableUntil).NotTo(gomega.BeNil())

	stripped := s.manifest("cnf2", "nginx:1.0.0") // the definition other holds it
	s.create(stripped)
	s.eventually(stripped, v1alpha1.ConditionReferenced, "True/InUse")
	s.delete(stripped)
	change(s, stripped, func(o *v1alpha1.ArtifactManifest) { o.Finalizers = nil })
	const unprotected = "Warning Unprotected Deleting"
	s.Eventually(func() []string { return s.events("cnf2") }).Should(gomega.ContainElement(unprotected))
	for _, released := range []string{"nsdv", "nfdv", "cnf"} { // the same controller has handled these before cnf2
		s.Expect(s.events(released)).NotTo(gomega.ContainElement(unprotected))
	}
}

func (s *scene) events(about string) []string {
	s.t.Helper()
	var l eventsv1.EventList
	if err := env.Client.List(s.t.Context(), &l, client.InNamespace(s.ns)); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range l.Items {
		if e.Regarding.Name == about {
			out = append(out, e.Type+" "+e.Reason+" "+e.Action)
		}
	}
	return out
}

func TestI5ApplyingAgainRestores(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	store, m := s.store("acme"), s.manifest("m", "a:1", "b:1", "never:1")
	s.create(store, m)
	a, b := s.image("m", "a:1", "a").Digest.String(), s.image("m", "b:1", "b").Digest.String()
	s.Eventually(func() bool { s.condition(m, ""); return present(m) == 2 }).Should(gomega.BeTrue())
	s.delete(m)
	s.goes(m)
	s.Expect(s.at("acme/m/a", "1")).To(gomega.BeEmpty())
	// The tombstone must outlive the store.
	s.delete(store)
	s.goes(store)
	b2 := s.image("m", "b:1", "other").Digest.String()

	m = s.manifest("m", "a:1", "b:1")
	s.create(s.store("again"), s.store("acme", func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = s.registry.URL("elsewhere") }))
	m.Spec.ArtifactStoreRef.Name = "again"
	s.create(m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(a))
	s.Expect(s.at("acme/m/b", "1")).To(gomega.Equal(b2), "a tag that is there is never overwritten")
	s.Expect(s.at("acme/m/b", b)).To(gomega.Equal(b))
	s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Normal Restored Restoring"))
}

func present(m *v1alpha1.ArtifactManifest) (n int) {
	for _, a := range m.Status.Artifacts {
		if a.State == v1alpha1.ArtifactPresent {
			n++
		}
	}
	return n
}

func TestI12AnUnknownWishOnDeletionIsAskedAbout(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	d := s.image("m", "a:1", "a").Digest.String()
	m := s.manifest("m", "a:1")
	m.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: "orphan"}
	s.create(s.store("acme"), m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InvalidAnnotation")
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(d))
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Annotations[v1alpha1.AnnotationOnDelete] = v1alpha1.OnDeleteOrphan
	})
	s.goes(m)
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(d))
}

func TestRemovedEntryIsReleased(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, nfdv := s.manifest("m", "a:1", "b:1"), s.definition("nfdv", "m", "a")
	s.create(s.store("acme"), m, nfdv)
	s.image("m", "a:1", "a")
	b := s.image("m", "b:1", "b").Digest.String()
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")

	change(s, m, func(m *v1alpha1.ArtifactManifest) { m.Spec.Artifacts = m.Spec.Artifacts[:1] })
	s.eventually(m, v1alpha1.ConditionReady, "False/EntryInUse")
	s.Expect(m.Status.Artifacts).To(gomega.HaveLen(2))
	s.Expect(s.at("acme/m/b", "1")).To(gomega.Equal(b))

	s.delete(nfdv)
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
	s.Expect(m.Status.Artifacts).To(gomega.HaveLen(1))
	s.Expect(s.at("acme/m/b", "1")).To(gomega.BeEmpty())
	s.Expect(s.at("acme/m/b", b)).To(gomega.Equal(b))
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))
	s.Expect(s.tombstones()[0].Spec.Cause).To(gomega.Equal(v1alpha1.CauseRemoved))

	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "b", ArtifactVersion: "1"})
	})
	s.Eventually(func() string { return s.at("acme/m/b", "1") }).Should(gomega.Equal(b))
	s.Eventually(s.tombstones).Should(gomega.BeEmpty())
}

func TestOverwrittenDigestIsKept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m := s.manifest("m", "a:1")
	s.create(s.store("acme"), m)
	first := s.image("m", "a:1", "first").Digest.String()
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	second := s.image("m", "a:1", "second").Digest.String()
	change(s, m, func(m *v1alpha1.ArtifactManifest) { // a new generation is polled at once
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "b", ArtifactVersion: "1"})
	})
	s.Eventually(func() string { s.condition(m, ""); return m.Status.Artifacts[0].Digest }).Should(gomega.Equal(second))
	graves := s.tombstones()
	s.Expect(graves).To(gomega.HaveLen(1))
	s.Expect(graves[0].Spec.Cause).To(gomega.Equal(v1alpha1.CauseOverwritten))
	s.Expect(graves[0].Spec.Artifacts[0].Digests).To(gomega.Equal([]string{first}))
	s.Eventually(func() []string { return s.events("m") }).Should(gomega.ContainElement("Warning TagMoved Observing"))
}

// The result of a purge belongs to the store that was purged, not to a new store of the same name.
func TestAPurgeIsNotRecordedInAStoreThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	was := s.scheduledStore()
	recorded := false
	// The error is ignored: after the store was replaced, the purge's account may not read the new store.
	_, _ = s.purge(t.Context(), false, before(func(r *http.Request) bool {
		return r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/artifactstores/acme/status")
	}, func() {
		recorded = true
		s.delete(was)
		s.goes(was)
		s.create(s.store("acme"))
	}))
	s.Expect(recorded).To(gomega.BeTrue(), "the purge writes its result")
	now := s.store("acme")
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(now), now)).To(gomega.Succeed())
	s.Expect(now.Status.LastPurge).To(gomega.BeNil())
}
