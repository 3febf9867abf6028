package integration

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// storeAt returns a store at a prefix of the scene's registry.
func (s *scene) storeAt(prefix string) *v1alpha1.ArtifactStore {
	return s.store("acme", func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = s.registry.URL("") + "/" + prefix })
}

// imageAt pushes the artifact a:1 of a manifest in a store at a prefix.
func (s *scene) imageAt(prefix, manifest string) (repository, digest string) {
	s.t.Helper()
	repository = s.registry.Location(prefix).Repository(manifest, v1alpha1.ManifestScoped, "a")
	d, err := registrytest.PushImage(s.t.Context(), s.inside.Host, repository, "1", manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	return repository, d.Digest.String()
}

func TestI9NewerStoreOfAnOverlappingURLIsInert(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ reason, older, newer string }{
		"Equal":         {reason: "one path, one store", older: "acme", newer: "acme"},
		"TrailingSlash": {reason: "URLs are compared as places", older: "acme", newer: "acme/"},
		"Below":         {reason: "what lies below a store is that store's", older: "acme", newer: "acme/team"},
		"Above":         {reason: "a store above would take in the older one", older: "acme/team", newer: "acme"},
		"WholeRegistry": {reason: "a store without a prefix takes in all", older: "acme", newer: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			other := s.neighbour()
			older, newer := s.storeAt(c.older), other.storeAt(c.newer)
			s.manage(func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, other.ns) })
			s.create(older)
			s.eventually(older, v1alpha1.ConditionReady, "True/Ready")
			s.ages(older)

			stays, goes := other.manifest("stays", "a:1"), other.manifest("goes", "a:1")
			kept, keptAt := other.imageAt(c.newer, "stays")
			_, _ = other.imageAt(c.newer, "goes")
			before := s.contents()
			s.registry.Forget()
			other.create(newer, stays, goes)
			other.says(newer, v1alpha1.ConditionReady, "False/PathConflict", s.ns+"/acme", older.Spec.Registry.URL, "delete one of the two")
			other.says(stays, v1alpha1.ConditionUploaded, "Unknown/StoreNotReady", "PathConflict", s.ns+"/acme")
			other.says(goes, v1alpha1.ConditionReady, "False/StoreNotReady", "PathConflict")
			other.Eventually(func() []string { return other.events("goes") }).Should(gomega.ContainElement(gomega.HavePrefix("Warning StoreNotReady ")))
			other.delete(goes)
			other.goes(goes)
			other.Eventually(func() []string { return other.events("goes") }).Should(gomega.ContainElement("Normal NotTouched Untagging"))
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)
			s.Expect(s.registry.Count(touches("stays"))+s.registry.Count(touches("goes"))).To(gomega.BeZero(), c.reason)
			s.Expect(s.registry.Writes()).To(gomega.BeZero(), c.reason)
			s.Expect(other.tombstones()).To(gomega.BeEmpty(), c.reason)
			s.eventually(older, v1alpha1.ConditionReady, "True/Ready")

			s.delete(older)
			s.goes(older)
			other.eventually(newer, v1alpha1.ConditionReady, "True/Ready")
			other.eventually(stays, v1alpha1.ConditionUploaded, "True/Complete")
			other.delete(stays)
			other.goes(stays)
			s.Expect(s.at(kept, "1")).To(gomega.BeEmpty())
			s.Expect(s.at(kept, keptAt)).To(gomega.Equal(keptAt), c.reason)
			other.Expect(other.tombstones()).To(gomega.HaveLen(1))
		})
	}
}

func TestI9NeighboursInOneRegistryDoNotMeet(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other := s.neighbour()
	s.manage(func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, other.ns) })
	mine, theirs := s.storeAt("acme"), other.storeAt("acme2")
	m, n := s.manifest("m", "a:1"), other.manifest("m", "a:1")
	_, _ = s.imageAt("acme", "m")
	repository, d := s.imageAt("acme2", "m")
	s.create(mine, theirs, m, n)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	other.eventually(n, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{repository + ":1": d}), "acme2 only begins like acme")
}
