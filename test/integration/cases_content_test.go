package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// A cleaner that deletes every untagged digest deletes the children of every index (distribution#3178, acr-cli#131).
func TestCase01IndexChildrenSwept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	repo := repository("m", "app")
	shared, old, fresh, deep := s.child(repo, "shared"), s.child(repo, "old"), s.child(repo, "fresh"), s.child(repo, "deep")
	first := s.index(repo, "1", shared, s.index(repo, "", old))
	second := s.index(repo, "2", fresh, s.index(repo, "", shared, deep))
	m := s.applied("m", "app:1", "app:2")
	s.drops(m, "app:1")
	got := s.sweeps(s.prey(), nil)
	s.Expect(got).To(gomega.HaveKeyWithValue(first.Digest.String(), "Removed"))
	s.Expect(got).To(gomega.HaveKeyWithValue(old.Digest.String(), "Removed"))
	s.Expect(got).To(gomega.HaveKeyWithValue(shared.Digest.String(), "IndexChild"))
	s.Expect(s.at(repo, first.Digest.String())).To(gomega.BeEmpty())
	s.Expect(s.at(repo, old.Digest.String())).To(gomega.BeEmpty())
	s.Expect(pullsWhole(t, s.inside, repo, "2")).To(gomega.Equal(second.Digest.String()))
}

// attestation pushes an attestation as build tools do: a child of an index, for the platform unknown/unknown.
func (s *scene) attestation(repository, seed string) ocispec.Descriptor {
	s.t.Helper()
	d, err := registrytest.PushArtifact(s.t.Context(), s.inside.Host, repository, "", ocispec.MediaTypeImageConfig, "application/vnd.in-toto+json",
		[]byte(`{"architecture":"unknown","os":"unknown","config":{}}`), []byte(`{"predicate":"`+seed+`"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	d.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	return d
}

// Build tools add attestations to an index as children of the platform unknown/unknown. A
// cleaner that knew only real platforms deleted them, and the index could no longer be pulled.
func TestCase02AttestationChildrenSwept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	repo := repository("m", "app")
	attested := s.attestation(repo, "old")
	first := s.index(repo, "1", s.child(repo, "old"), attested)
	second := s.index(repo, "2", s.child(repo, "new"), s.attestation(repo, "new"))
	m := s.applied("m", "app:1", "app:2")
	s.drops(m, "app:1")
	s.sweeps(s.prey(), nil)
	s.Expect(s.at(repo, first.Digest.String())).To(gomega.BeEmpty())
	s.Expect(s.at(repo, attested.Digest.String())).To(gomega.BeEmpty(), "what belongs to a released index goes with it")
	s.Expect(pullsWhole(t, s.inside, repo, "2")).To(gomega.Equal(second.Digest.String()))
}

// satellites pushes satellites of an image in each of the three
// encodings, and returns the references at which they can be pulled.
func (s *scene) satellites(repository string, subject ocispec.Descriptor) []string {
	s.t.Helper()
	data := []byte(subject.Digest)
	referrer, err := registrytest.PushReferrer(s.t.Context(), s.inside.Host, repository, subject, "application/vnd.example.sbom", data)
	if err != nil {
		s.t.Fatal(err)
	}
	fallback := strings.Replace(subject.Digest.String(), ":", "-", 1)
	signature, err := registrytest.PushArtifact(s.t.Context(), s.inside.Host, repository, fallback+".sig",
		ocispec.MediaTypeImageConfig, "application/vnd.dev.cosign.simplesigning.v1+json", []byte(`{"config":{}}`), data)
	if err != nil {
		s.t.Fatal(err)
	}
	return []string{referrer.Digest.String(), fallback, signature.Digest.String(), fallback + ".sig"}
}

// Signatures and SBOMs have no tag, or one that no retention rule knows. Cleaners deleted them
// while their subject was in use (acr-cli#133), or left them after their subject was deleted.
func TestCase03UntaggedReferrersSwept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	repo := repository("m", "app")
	gone, lives, audited := s.image("m", "app:1", "gone"), s.image("m", "app:2", "lives"), s.image("m", "app:3", "audited")
	goes, stays := s.satellites(repo, gone), s.satellites(repo, lives)
	// As in a registry with a referrers API: only the subject field refers to the image.
	foreign, err := manifestAt(s.inside, repo, stays[0])
	s.Expect(err).NotTo(gomega.HaveOccurred())
	stays = append(stays, s.put(repo, "", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: indexOf().Versioned, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.foreign",
		Config: foreign.Blobs[0], Layers: foreign.Blobs[1:], Subject: foreign.Subject,
	}).Digest.String())
	// A third party's tag on a satellite keeps the satellite's subject too.
	s.retags(repo, s.satellites(repo, audited)[0], "audit")

	m := s.applied("m", "app:1", "app:2", "app:3")
	s.drops(m, "app:1", "app:3")
	got := s.sweeps(s.prey(), nil)
	s.Expect(got).To(gomega.HaveKeyWithValue(audited.Digest.String(), "Subject"))
	for _, reference := range append(goes, gone.Digest.String()) {
		s.Expect(s.at(repo, reference)).To(gomega.BeEmpty(), "a satellite goes with its subject")
	}
	for _, reference := range append(stays, "2", "audit", audited.Digest.String()) {
		pullsWhole(t, s.inside, repo, reference)
	}
}

// Deleting the digest of one tag removes the other tags of that digest (harbor#8717).
func TestCase05DigestOfSeveralTags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		fault  func(*registrytest.Registry)
	}{
		"Plain":                {reason: "a sibling tag keeps the digest", fault: func(*registrytest.Registry) {}},
		"RefusesTagDelete":     {reason: "there the tag goes with its digest, once all tags on it are ours", fault: (*registrytest.Registry).RefuseTagDelete},
		"TagDeleteTakesDigest": {reason: "what goes with the trial is put back", fault: (*registrytest.Registry).TagDeleteTakesDigest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			c.fault(s.registry)
			s.manage(scheduled)
			s.scheduledStore(noGrace)
			repo := repository("m", "a")
			d := s.image("m", "a:1", "one").Digest.String()
			s.image("m", "a:2", "one")
			s.image("m", "a:stable", "one") // the tag of a third party
			m := s.applied("m", "a:1", "a:2")

			s.drops(m, "a:1")
			s.sweeps(s.prey(), nil)
			s.Expect(pullsWhole(t, s.inside, repo, "2")).To(gomega.Equal(d), c.reason)
			s.Expect(pullsWhole(t, s.inside, repo, "stable")).To(gomega.Equal(d), c.reason)

			s.released(m)
			_, err := s.purge(t.Context(), false, nil)
			s.Expect(err).NotTo(gomega.HaveOccurred())
			s.Expect(pullsWhole(t, s.inside, repo, "stable")).To(gomega.Equal(d), c.reason)

			s.strangerUntags(repo, "stable")
			// An empty list of tags counts only after a second listing, one minute later.
			s.Eventually(func() string {
				_, err = s.purge(t.Context(), false, nil)
				s.Expect(err).NotTo(gomega.HaveOccurred())
				return s.at(repo, d)
			}).WithTimeout(4*patience).WithPolling(10*time.Second).Should(gomega.BeEmpty(), "nothing but our own tags is on it any more")
			s.Expect(s.contents()).To(gomega.BeEmpty())
		})
	}
}

// A workload is pinned by digest, and the tag of that digest is removed or
// overwritten (PostHog#83040). A cleaner that considers only tags deletes the digest.
func TestCase10DigestPinnedTagAgedOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		act    func(s *scene, repository string)
		seen   bool
	}{
		"AgedOut":       {reason: "the manifest last saw its tag there", seen: true, act: func(s *scene, repo string) { s.strangerUntags(repo, "1") }},
		"AgedOutUnseen": {reason: "nobody has looked since", act: func(s *scene, repo string) { s.strangerUntags(repo, "1") }},
		"MovedUnseen":   {reason: "the manifest does not know yet that its tag moved", act: func(s *scene, _ string) { s.image("m", "a:1", "other") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			manager := s.manage(scheduled)
			s.scheduledStore(noGrace)
			repo := repository("m", "a")
			d := s.image("m", "a:1", "one").Digest.String()
			s.image("m", "a:2", "one")
			m := s.applied("m", "a:1", "a:2")
			prey := s.prey()
			s.drops(m, "a:2") // this release makes the digest a candidate
			if !c.seen {
				manager.Stop()
			}
			c.act(s, repo)
			if c.seen {
				change(s, m, func(m *v1alpha1.ArtifactManifest) { // a new generation is polled at once
					m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "b", ArtifactVersion: "1"})
				})
				s.eventually(m, v1alpha1.ConditionUploaded, "False/Missing")
			}
			s.Expect(s.sweeps(prey, nil)).To(gomega.HaveKeyWithValue(d, "Held"), c.reason)
			s.Expect(pullsWhole(t, s.inside, repo, d)).To(gomega.Equal(d), c.reason)
		})
	}
}

// Cleaners removed the pause image, base images and other tools' images, because nothing that they checked referenced them.
func TestCase13InfrastructureImageRemoved(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	// Each of them contains the released image too: one digest in several repositories.
	kept := []string{"infra/pause", "acme/pause", "acme/prey", "acme/prey/a/base", "acme/prey/unlisted", "acme2/prey/a"}
	for _, repo := range kept {
		s.imageIn(repo, "prey")
		s.child(repo, "untagged")
	}
	stranger := s.child("acme/prey/a", "untagged")
	d := s.prey()
	s.registry.Forget()
	s.Expect(s.sweeps(d, nil)).To(gomega.HaveLen(1), "nothing else is a candidate")
	for _, repo := range kept {
		s.Expect(pullsWhole(t, s.inside, repo, "1")).To(gomega.Equal(d))
		pullsWhole(t, s.inside, repo, stranger.Digest.String())
		s.Expect(s.registry.Count(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v2/"+repo+"/manifests/") })).To(gomega.BeZero())
	}
	pullsWhole(t, s.inside, "acme/prey/a", stranger.Digest.String())
}

// Two clusters share a registry, and each cleaner deleted what only the other cluster used.
func TestCase16OtherClustersImage(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other := s.neighbour() // it has its own manager, which sees none of this scene's objects
	s.manage(scheduled)
	other.manage(scheduled)
	s.scheduledStore(noGrace)
	theirs := other.storeAt("acme-b")
	noGrace(theirs)
	other.create(theirs)
	other.eventually(theirs, v1alpha1.ConditionReady, "True/Ready")
	released, d := other.imageAt("acme-b", "prey")
	lives, dl := other.imageAt("acme-b", "lives")
	other.applied("lives", "a:1")
	other.released(other.applied("prey", "a:1"))

	s.sweeps(s.prey(), nil)
	s.Expect(pullsWhole(t, s.inside, lives, "1")).To(gomega.Equal(dl))
	s.Expect(pullsWhole(t, s.inside, released, d)).To(gomega.Equal(d), "a release of theirs is theirs to purge, even of the same bytes")
	other.applied("prey", "a:1")
	s.Expect(pullsWhole(t, s.inside, released, "1")).To(gomega.Equal(d))
}
