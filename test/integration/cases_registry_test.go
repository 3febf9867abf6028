package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// collect runs distribution's garbage collection on the registry's files, which frees the disk.
func collect(t *testing.T, dir string) {
	t.Helper()
	driver, err := filesystem.FromParameters(map[string]any{"rootdirectory": dir})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := storage.NewRegistry(t.Context(), driver, storage.EnableDelete)
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.MarkAndSweep(t.Context(), driver, registry, storage.GCOpts{Quiet: true}); err != nil {
		t.Fatal(err)
	}
}

// After a garbage collection, a registry that was not restarted still believed that it had a layer.
// A push omitted the layer, and the image could not be pulled (distribution#1803 and eight more).
func TestCase07StaleCacheAfterCollection(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := registrytest.Start(t, registrytest.InDir(dir))
	s := sceneAt(t, r, r)
	manager := s.manage(scheduled)
	s.scheduledStore()
	lives := s.image("lives", "a:1", "lives").Digest.String()
	s.applied("lives", "a:1")
	grace := s.image("grace", "a:1", "grace").Digest.String()
	s.released(s.applied("grace", "a:1"))
	prey := s.prey()
	m, err := manifestAt(s.inside, repository("prey", "a"), prey)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.expires("prey")
	s.sweeps(prey, nil)
	s.Expect(blobAt(s.inside, repository("prey", "a"), m.Blobs[0])).To(gomega.Succeed(), "a purge frees no disk: the collection does")

	manager.Stop()
	collect(t, dir)
	r.App = registrytest.Start(t, registrytest.InDir(dir)).App // the restart
	s.manage(scheduled)
	s.Expect(blobAt(s.inside, repository("prey", "a"), m.Blobs[0])).NotTo(gomega.Succeed())
	s.Expect(pullsWhole(t, s.inside, repository("lives", "a"), "1")).To(gomega.Equal(lives))
	s.applied("grace", "a:1")
	s.Expect(pullsWhole(t, s.inside, repository("grace", "a"), "1")).To(gomega.Equal(grace), "what has no tag is restored after a collection")
	s.Expect(s.image("prey", "a:1", "prey").Digest.String()).To(gomega.Equal(prey))
	s.applied("prey", "a:1")
	s.Expect(pullsWhole(t, s.inside, repository("prey", "a"), "1")).To(gomega.Equal(prey))
}

// aliased sends requests for another host to the scene's registry.
func (s *scene) aliased(host string) environment.Transport {
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == host {
				r = r.Clone(r.Context())
				r.URL.Host = s.registry.Host
			}
			return base.RoundTrip(r)
		})
	}
}

// A reference was written in one form and compared in another, and the image counted as unused (kuik#567).
func TestCase08RewrittenReference(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	host := s.ns + ".example.com"
	alias := s.aliased(host)
	s.manage(scheduled, func(o *environment.ManagerOptions) { o.Registry = alias })
	at := func(url string) func(*v1alpha1.ArtifactStore) {
		return func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = url }
	}
	first := s.scheduledStore(noGrace, at("http://"+strings.ToUpper(host)+":80/acme/"))
	lives, back := s.image("lives", "a:1", "lives").Digest.String(), s.image("back", "a:1", "back").Digest.String()
	m := s.applied("lives", "a:1")
	prey := s.prey()

	s.ages(first)
	younger, theirs := s.store("younger", noGrace, at("http://"+host+"/acme/lives")), s.manifest("a", "x:1")
	theirs.Spec.ArtifactStoreRef.Name = "younger"
	x := s.imageIn("acme/lives/a/x", "x")
	s.create(younger, theirs)
	s.eventually(younger, v1alpha1.ConditionReady, "False/PathConflict")
	s.released(theirs)
	s.sweeps(prey, alias)
	s.Expect(pullsWhole(t, s.inside, "acme/lives/a/x", "1")).To(gomega.Equal(x))
	s.Expect(pullsWhole(t, s.inside, repository("lives", "a"), "1")).To(gomega.Equal(lives))

	// Another spelling of the URL is the same place: its tombstones are found and can be restored.
	s.released(s.applied("back", "a:1"))
	s.released(m)
	s.delete(younger, first)
	s.goes(younger, first)
	s.scheduledStore(at("http://" + host + ":080/acme")) // a grace period of one hour
	s.applied("lives", "a:1")
	_, err := s.purge(t.Context(), false, alias)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.applied("back", "a:1")
	s.Expect(pullsWhole(t, s.inside, repository("lives", "a"), "1")).To(gomega.Equal(lives))
	s.Expect(pullsWhole(t, s.inside, repository("back", "a"), "1")).To(gomega.Equal(back), "the grace is this store's")
}

// Where a tag could not be deleted, a client pushed an empty image to the tag, to delete that
// image's digest. Deletion was disabled, and the tag kept the empty image (regclient#819).
func TestCase14DummyOverwrite(t *testing.T) {
	t.Parallel()
	s := newGuardedScene(t, registrytest.DeleteDisabled())
	manager := s.manage(scheduled)
	st := s.scheduledStore(noGrace)
	repo := repository("prey", "a")
	s.image("prey", "a:stable", "prey")
	prey := s.prey()
	s.Expect(pullsWhole(t, s.inside, repo, "1")).To(gomega.Equal(prey), "the tag stays until the purge")
	s.strangerUntags(repo, "stable")
	s.registry.Forget()
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).To(gomega.HaveOccurred())
	s.Expect(verdicts(report)).To(gomega.HaveKeyWithValue(prey, "Unsupported"))
	s.Expect(s.registry.Writes()).To(gomega.Equal(1), "the one DELETE that was refused")
	s.Expect(s.registry.Count(func(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost })).To(gomega.BeZero())
	s.Eventually(func() v1alpha1.Support { s.find(st, ""); return st.Status.Capabilities.Delete }).Should(gomega.Equal(v1alpha1.Unsupported))
	s.Expect(pullsWhole(t, s.inside, repo, "1")).To(gomega.Equal(prey))

	manager.Stop()
	s.registry.App = s.inside.App // restarted with deletion enabled
	s.sweeps(prey, nil)
	s.Expect(s.contents()).To(gomega.BeEmpty())
}

// In some registries, deleting the last tag deletes the image (containers-roadmap#1567).
func TestCase15LastTagRemovesImage(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.registry.TagDeleteTakesDigest()
	s.manage(scheduled)
	s.scheduledStore()
	repo := repository("m", "app")
	d := s.index(repo, "1", s.child(repo, "one"), s.child(repo, "two")).Digest.String()
	s.released(s.applied("m", "app:1"))
	s.Expect(s.registry.Count(deletes)).To(gomega.Equal(2), "the first release learns it, by two trials")
	s.Expect(pullsWhole(t, s.inside, repo, "1")).To(gomega.Equal(d), "and puts it back")

	prey := s.prey()
	s.expires("prey")
	s.sweeps(prey, nil)
	s.Expect(s.at(repository("prey", "a"), "1")).To(gomega.BeEmpty())
	s.Expect(pullsWhole(t, s.inside, repo, "1")).To(gomega.Equal(d))
	s.applied("m", "app:1")
	s.expires("m")
	_, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(pullsWhole(t, s.inside, repo, "1")).To(gomega.Equal(d))
}

// A dry run deleted, because one place in the code did not check for it (zot PR #4236).
func TestCase19DryRunThatDeletes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore(noGrace)
	repo := repository("m", "app")
	d := s.index(repo, "1", s.child(repo, "one"), s.child(repo, "two"))
	s.released(s.applied("m", "app:1"))
	prey := s.prey()
	state := func() string {
		all, err := json.Marshal([]any{s.tombstones(), s.contents(), s.at(repo, d.Digest.String())})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		return string(all)
	}
	before := state()
	for _, byFlag := range []bool{true, false} {
		if !byFlag {
			change(s, st, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.DryRun = true })
			s.Eventually(func() int64 { return s.find(st, v1alpha1.ConditionReady).ObservedGeneration }).Should(gomega.Equal(st.Generation))
		}
		var reads, writes atomic.Int32
		s.registry.Forget()
		// Sees the requests to the API server and to the registry.
		report, err := s.purge(t.Context(), byFlag, func(base http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet || r.Method == http.MethodHead {
					reads.Add(1)
				} else {
					writes.Add(1)
				}
				return base.RoundTrip(r)
			})
		})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		s.Expect(report.DryRun).To(gomega.BeTrue())
		s.Expect(verdicts(report)).To(gomega.And(gomega.HaveLen(4), gomega.HaveKeyWithValue(prey, "Released")))
		s.Expect(reads.Load()).To(gomega.BeNumerically(">", 8))
		s.Expect(writes.Load()).To(gomega.BeZero(), "I8")
		s.Expect(s.registry.Writes()).To(gomega.BeZero(), "I8")
		s.Expect(state()).To(gomega.Equal(before), "I8")
	}
	pullsWhole(t, s.inside, repo, d.Digest.String())
	change(s, st, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.DryRun = false })
	s.Eventually(func() int64 { return s.find(st, v1alpha1.ConditionReady).ObservedGeneration }).Should(gomega.Equal(st.Generation))
	s.sweeps(prey, nil)
	s.Expect(s.at(repo, d.Digest.String())).To(gomega.BeEmpty())
}
