package integration

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/test/environment"
)

// instead makes answer respond to the requests that match, instead of the server.
func instead(match func(*http.Request) bool, answer http.HandlerFunc) environment.Transport {
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !match(r) {
				return base.RoundTrip(r)
			}
			return answered(r, answer), nil
		})
	}
}

func answered(r *http.Request, answer http.HandlerFunc) *http.Response {
	w := httptest.NewRecorder()
	answer(w, r)
	resp := w.Result()
	resp.Request = r
	return resp
}

// lists returns a match for lists of a resource of the product.
func lists(resource string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/"+resource)
	}
}

// document responds with JSON.
func document(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// emptyFirstPage inserts an empty first page before the list of definitions.
func emptyFirstPage() environment.Transport {
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !lists("networkfunctiondefinitionversions")(r) {
				return base.RoundTrip(r)
			}
			query := r.URL.Query()
			if query.Get("continue") == "" {
				kind := "NetworkFunctionDefinitionVersionList"
				if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
					kind = "PartialObjectMetadataList"
				}
				return answered(r, document(http.StatusOK, `{"kind":"`+kind+`","metadata":{"resourceVersion":"1","continue":"more"},"items":[]}`)), nil
			}
			query.Del("continue")
			r = r.Clone(r.Context())
			r.URL.RawQuery = query.Encode()
			return base.RoundTrip(r)
		})
	}
}

// Cleaners took a cache that was not filled yet, or a list that failed, for "nothing uses it" (kuik#540).
func TestCase09EmptyAnswerReadAsUnused(t *testing.T) {
	t.Parallel()
	tagsOf := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/m/a/tags/list") }
	tagOf := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/m/a/manifests/stable") }
	for name, c := range map[string]struct {
		reason  string
		through environment.Transport
		// preyGoes: the purge deletes what the answer does not concern.
		preyGoes, fails bool
	}{
		"HoldersFail":     {reason: "an error is not an empty list", through: instead(lists("networkfunctiondefinitionversions"), failing(http.StatusInternalServerError, "UNKNOWN")), fails: true},
		"DesignsFail":     {reason: "every kind of holder counts", through: instead(lists("networkservicedesignversions"), page(http.StatusOK)), fails: true},
		"ManifestsFail":   {reason: "manifests hold too", through: instead(lists("artifactmanifests"), page(http.StatusNotFound)), fails: true},
		"TombstonesFail":  {reason: "tombstones in grace keep", through: instead(lists("tombstones"), failing(http.StatusTooManyRequests, "TOOMANYREQUESTS")), fails: true},
		"EmptyFirstPage":  {reason: "a page with a continuation is not all", through: emptyFirstPage(), preyGoes: true},
		"TagsFail":        {reason: "an error is not a repository without tags", through: instead(tagsOf, failing(http.StatusBadGateway, "UNKNOWN")), preyGoes: true, fails: true},
		"TagsAreAPage":    {reason: "a login page is not a list", through: instead(tagsOf, page(http.StatusOK)), preyGoes: true, fails: true},
		"TagsPageMissing": {reason: "a proxy's 404 is not the registry's", through: instead(tagsOf, page(http.StatusNotFound)), preyGoes: true, fails: true},
		"TagsWithout":     {reason: "a document without the field is not an empty list", through: instead(tagsOf, document(http.StatusOK, `{}`)), preyGoes: true, fails: true},
		"TagsDenied":      {reason: "who may not look knows nothing", through: instead(tagsOf, failing(http.StatusForbidden, "DENIED")), preyGoes: true, fails: true},
		"TagFails":        {reason: "a tag that cannot be resolved may be on anything", through: instead(tagOf, failing(http.StatusServiceUnavailable, "UNKNOWN")), preyGoes: true, fails: true},
		"TagIsAPage":      {reason: "a proxy's 404 is not a tag that went", through: instead(tagOf, page(http.StatusNotFound)), preyGoes: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			manager := s.manage(scheduled)
			s.scheduledStore(noGrace)
			tagged, held := s.image("m", "a:1", "tagged").Digest.String(), s.image("held", "a:1", "held").Digest.String()
			s.released(s.applied("m", "a:1"))
			s.released(s.applied("held", "a:1"))
			prey := s.prey()
			manager.Stop()
			s.retags(repository("m", "a"), tagged, "stable")
			s.create(s.definition("holder", "held", "a"))

			report, err := s.purge(t.Context(), false, c.through)
			s.Expect(err != nil).To(gomega.Equal(c.fails), "%s: %v", c.reason, err)
			s.Expect(s.at(repository("prey", "a"), prey) == "").To(gomega.Equal(c.preyGoes), c.reason)
			s.Expect(report.Deleted > 0).To(gomega.Equal(c.preyGoes), c.reason)
			if !c.preyGoes {
				s.sweeps(prey, nil)
			}
			s.Expect(pullsWhole(t, s.inside, repository("m", "a"), "stable")).To(gomega.Equal(tagged), c.reason)
			s.Expect(pullsWhole(t, s.inside, repository("held", "a"), held)).To(gomega.Equal(held), c.reason)
		})
	}
}

// hostile creates a tombstone as only an attacker or a bug would write it.
func (s *scene) hostile(name, manifest, repository string, digests ...string) {
	s.t.Helper()
	t := &v1alpha1.Tombstone{ObjectMeta: s.meta(name), Spec: v1alpha1.TombstoneSpec{
		RegistryURL: s.registry.URL("acme"), Cause: v1alpha1.CauseReleased,
		Manifest:  v1alpha1.TombstoneManifest{Name: manifest, UID: "none", Spec: s.manifest("", "a:1").Spec},
		Artifacts: []v1alpha1.TombstoneArtifact{{Repository: repository, Tag: "9", Digests: digests}},
	}}
	// As the manager, because only few users may write tombstones.
	operator, err := client.New(env.As(environment.ManagerUser), client.Options{Scheme: env.Client.Scheme()})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(operator.Create(s.t.Context(), t)).To(gomega.Succeed())
	long := metav1.NewTime(time.Now().Add(-24 * time.Hour))
	t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: repository, Tag: "9", State: v1alpha1.TombstoneUntagged, UntaggedAt: &long})
	if err := operator.Status().Update(s.t.Context(), t); err != nil {
		s.t.Fatal(err)
	}
}

// An empty filter, or one that matched more than intended, deleted every image (gcr-cleaner#11, gitlab#325429).
func TestCase12WrongFilterDeletesAll(t *testing.T) {
	t.Parallel()
	t.Run("NothingReleased", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.manage(scheduled)
		s.scheduledStore(noGrace)
		s.imageIn("acme/strangers/a", "stranger")
		s.child("acme/strangers/a", "untagged")
		for _, applied := range []bool{false, true} { // an empty store, and one in which everything is in use
			if applied {
				s.image("m", "a:1", "one")
				s.applied("m", "a:1")
			}
			before := s.contents()
			s.registry.Forget()
			report, err := s.purge(t.Context(), false, nil)
			s.Expect(err).NotTo(gomega.HaveOccurred())
			s.Expect(report.Verdicts).To(gomega.BeEmpty())
			s.Expect(s.registry.Writes()).To(gomega.BeZero())
			s.Expect(s.contents()).To(gomega.Equal(before))
		}
		leases, err := coordinationv1client.NewForConfig(env.Admin)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		_, err = purge.Run(t.Context(), purge.Config{Namespace: s.ns, Client: env.Client, Leases: leases, Identity: "nameless"})
		s.Expect(errors.Is(err, purge.ErrRefused)).To(gomega.BeTrue(), "no name is not every store: %v", err)
		s.sweeps(s.prey(), nil)
		pullsWhole(t, s.inside, "acme/strangers/a", "1")
		pullsWhole(t, s.inside, repository("m", "a"), "1")
	})
	t.Run("HostileTombstones", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.manage(scheduled)
		s.scheduledStore(noGrace)
		lives := s.image("lives", "a:1", "lives").Digest.String()
		s.applied("lives", "a:1")
		prey := s.prey()
		notOurs := map[string]string{} // by digest, all of them untagged, so that no tag keeps them
		for i, h := range []struct{ manifest, repository string }{
			{"x", "acme/lives/a"}, {"", "acme/lives/b"}, {"lives/c", "acme/lives/c/d"}, {"x", "acme/x/y/z"},
			{"pause", "infra/pause"}, {"x", "acme2/x/a"}, {"acme", "acme/acme"},
		} {
			d := s.child(h.repository, h.repository).Digest.String()
			notOurs[d] = h.repository
			s.hostile("hostile-"+string(rune('a'+i)), h.manifest, h.repository, d)
		}
		s.hostile("hostile-pinned", "lives", "acme/lives/a", lives)
		s.hostile("hostile-nonsense", "x", "acme/x/a", "sha256:*")
		got := s.sweeps(prey, nil)
		for d, repo := range notOurs {
			s.Expect(got).To(gomega.HaveKeyWithValue(d, "NotOurs"), repo)
			pullsWhole(t, s.inside, repo, d)
		}
		s.Expect(got).To(gomega.HaveKeyWithValue(lives, gomega.Or(gomega.Equal("Held"), gomega.Equal("Tagged"))))
		s.Expect(got).To(gomega.HaveKeyWithValue("sha256:*", "Unreadable"))
		s.Expect(pullsWhole(t, s.inside, "acme/lives/a", "1")).To(gomega.Equal(lives))
	})
}
