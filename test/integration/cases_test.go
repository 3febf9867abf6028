package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// Twenty ways in which cleaners of registries have lost images, with a test for each (TestCase01 to
// TestCase20, in the files cases_*_test.go). Each test creates the situation, checks that nothing
// is lost, down to the last layer, and checks that the same run deleted what may be deleted.
//
//	 1 an index's children swept         11 scaled to zero, or rolled back
//	 2 attestation children swept        12 a wrong filter that deletes all
//	 3 untagged referrers swept          13 an infrastructure image removed
//	 4 tagged again in the grace         14 a dummy pushed to a tag
//	 5 a digest of several tags          15 the last tag takes the image
//	 6 a push during a purge             16 another cluster's image
//	 7 a stale cache after a collection  17 protection without effect
//	 8 a reference in another form       18 a refused deletion done later
//	 9 an empty answer read as unused    19 a dry run that deletes
//	10 a digest pinned, its tag gone     20 pushes blocked for days

// pullsWhole pulls a reference as a client does, through children down to the last layer.
// It fails the test if a byte is missing or wrong, and returns the reference's digest.
func pullsWhole(t testing.TB, r *registrytest.Registry, repository, reference string) string {
	t.Helper()
	d, err := pull(r, repository, reference)
	if err != nil {
		t.Errorf("pulling %s %s: %v", repository, reference, err)
	}
	return d
}

func pull(r *registrytest.Registry, repository, reference string) (string, error) {
	top := ""
	seen := map[string]bool{}
	for todo := []string{reference}; len(todo) > 0; todo = todo[1:] {
		if seen[todo[0]] {
			continue
		}
		seen[todo[0]] = true
		m, err := manifestAt(r, repository, todo[0])
		if err != nil {
			return top, err
		}
		if top == "" {
			top = m.Descriptor.Digest.String()
		}
		for _, b := range m.Blobs {
			if err := blobAt(r, repository, b); err != nil {
				return top, err
			}
		}
		for _, c := range m.Children {
			todo = append(todo, c.Digest.String())
		}
	}
	return top, nil
}

func manifestAt(r *registrytest.Registry, repository, reference string) (registry.Manifest, error) {
	w := ask(r, http.MethodGet, "/v2/"+repository+"/manifests/"+reference, "", nil)
	if w.Code != http.StatusOK {
		return registry.Manifest{}, fmt.Errorf("manifest %s: %d", reference, w.Code)
	}
	m, err := registry.ParseManifest(w.Header().Get("Content-Type"), w.Body.Bytes())
	if err == nil && digest.Digest(reference).Validate() == nil && m.Descriptor.Digest.String() != reference {
		err = fmt.Errorf("manifest %s has the digest %s", reference, m.Descriptor.Digest)
	}
	return m, err
}

func blobAt(r *registrytest.Registry, repository string, d ocispec.Descriptor) error {
	w := ask(r, http.MethodGet, "/v2/"+repository+"/blobs/"+d.Digest.String(), "", nil)
	switch got := digest.FromBytes(w.Body.Bytes()); {
	case w.Code != http.StatusOK:
		return fmt.Errorf("blob %s: %d", d.Digest, w.Code)
	case got != d.Digest || int64(w.Body.Len()) != d.Size:
		return fmt.Errorf("blob %s has the digest %s and %d bytes", d.Digest, got, w.Body.Len())
	}
	return nil
}

// ask sends a request directly to the registry, without its recording and faults.
func ask(r *registrytest.Registry, verb, path, contentType string, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequest(verb, path, strings.NewReader(string(body)))
	req.Header.Set("Accept", strings.Join([]string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}, ","))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	r.App.ServeHTTP(w, req)
	return w
}

// retag sets a tag on an existing digest, and returns the status of the registry's answer.
func retag(r *registrytest.Registry, repository, d, tag string) int {
	m, err := manifestAt(r, repository, d)
	if err != nil {
		return http.StatusNotFound
	}
	return ask(r, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, m.Descriptor.MediaType, m.Bytes).Code
}

// retags sets a tag on an existing digest, as a third party.
func (s *scene) retags(repository, d, tag string) {
	s.t.Helper()
	if code := retag(s.inside, repository, d, tag); code != http.StatusCreated {
		s.t.Errorf("tagging %s@%s as %s: %d", repository, d, tag, code)
	}
}

// strangerUntags removes a tag as a third party.
func (s *scene) strangerUntags(repository, tag string) {
	s.t.Helper()
	if w := ask(s.inside, http.MethodDelete, "/v2/"+repository+"/manifests/"+tag, "", nil); w.Code != http.StatusAccepted {
		s.t.Errorf("untagging %s:%s: %d", repository, tag, w.Code)
	}
}

// put stores an image manifest or index. With tag "" it is untagged.
func (s *scene) put(repository, tag, mediaType string, content any) ocispec.Descriptor {
	s.t.Helper()
	d, err := put(s.inside, repository, tag, mediaType, content)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func put(r *registrytest.Registry, repository, tag, mediaType string, content any) (ocispec.Descriptor, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	if tag == "" {
		tag = d.Digest.String()
	}
	if w := ask(r, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, mediaType, body); w.Code != http.StatusCreated {
		return ocispec.Descriptor{}, fmt.Errorf("pushing %s %s: %d %s", repository, tag, w.Code, w.Body)
	}
	return d, nil
}

func indexOf(children ...ocispec.Descriptor) ocispec.Index {
	return ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children}
}

// index pushes an index of existing children.
func (s *scene) index(repository, tag string, children ...ocispec.Descriptor) ocispec.Descriptor {
	s.t.Helper()
	return s.put(repository, tag, ocispec.MediaTypeImageIndex, indexOf(children...))
}

// child pushes an image without a tag.
func (s *scene) child(repository, seed string) ocispec.Descriptor {
	s.t.Helper()
	d, err := registrytest.PushImage(s.t.Context(), s.inside.Host, repository, "", seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// applied creates a manifest and waits until all its artifacts are present.
func (s *scene) applied(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	s.t.Helper()
	m := s.manifest(name, artifacts...)
	s.create(m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	return m
}

// released deletes a manifest and waits until it is gone.
func (s *scene) released(m *v1alpha1.ArtifactManifest) {
	s.t.Helper()
	s.delete(m)
	s.goes(m)
}

// drops removes entries from a manifest's spec and waits until they are released.
func (s *scene) drops(m *v1alpha1.ArtifactManifest, artifacts ...string) {
	s.t.Helper()
	dropped := func(name, version string) bool { return slices.Contains(artifacts, name+":"+version) }
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Spec.Artifacts = slices.DeleteFunc(m.Spec.Artifacts, func(a v1alpha1.ManifestArtifact) bool { return dropped(a.ArtifactName, a.ArtifactVersion) })
	})
	s.Eventually(func() bool {
		s.condition(m, "")
		return slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return dropped(a.ArtifactName, a.ArtifactVersion) })
	}).Should(gomega.BeFalse(), "the entries that left the spec should be released")
}

// prey uploads and releases the manifest "prey". Nothing needs its only
// image, so every purge that works deletes it. It returns the image's digest.
func (s *scene) prey() string {
	s.t.Helper()
	d := s.image("prey", "a:1", "prey").Digest.String()
	s.released(s.applied("prey", "a:1"))
	return d
}

// sweeps runs a purge, checks that it succeeded and deleted the prey, and returns its verdicts.
func (s *scene) sweeps(prey string, through environment.Transport) map[string]string {
	s.t.Helper()
	report, err := s.purge(s.t.Context(), false, through)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(verdicts(report)).To(gomega.HaveKeyWithValue(prey, "Released"))
	s.Expect(s.at(repository("prey", "a"), prey)).To(gomega.BeEmpty(), "the purge deletes what may go")
	return verdicts(report)
}

// expires ends the grace period of a manifest's tombstones.
func (s *scene) expires(manifest string) {
	s.t.Helper()
	for _, grave := range s.tombstones() {
		if grave.Spec.Manifest.Name == manifest {
			s.expire(&grave)
		}
	}
}

// expire ends the grace period of a tombstone and waits until the manager has recorded
// it, because a purge does not claim a tombstone that another client changes meanwhile.
func (s *scene) expire(grave *v1alpha1.Tombstone) {
	s.t.Helper()
	change(s, grave, func(t *v1alpha1.Tombstone) { t.Annotations = map[string]string{v1alpha1.AnnotationExpireNow: ""} })
	s.Eventually(func() string { return s.find(grave, v1alpha1.ConditionReady).Message }).Should(gomega.ContainSubstring("nfo.dev/expire-now has ended the grace period"))
	s.Expect(time.Until(grave.Status.RestorableUntil.Time)).To(gomega.BeNumerically("<=", time.Second))
}

// before calls f once, immediately before the first request that matches is sent.
func before(match func(*http.Request) bool, f func()) environment.Transport {
	var first sync.Once
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if match(r) {
				first.Do(f)
			}
			return base.RoundTrip(r)
		})
	}
}

// claims returns a match for a purge's writes of a manifest's tombstones. The first such write
// comes after the purge has made its plan and before it reads the evidence on which it deletes.
func claims(manifest string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/tombstones/"+manifest+"-")
	}
}
