package purge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload"
)

// mirrorWorld is nfo's own registry with copies in it, a fake API server, and workloads that change.
type mirrorWorld struct {
	*world
	mu      sync.Mutex
	uses    map[workload.Use]bool
	sources []v1alpha1.WorkloadSourceStatus
	reads   int
	// onRead is called before each reading, with its number from 1.
	onRead func(n int)
}

const (
	unusedImage, usedImage, graceImage = "r.example/acme/upf:1", "r.example/acme/smf:1", "r.example/acme/amf:1"
	sharedImage, keptImage, indexImage = "r.example/acme/shared:1", "r.example/acme/kept:1", "r.example:5000/acme/index:1"
	pinnedName, orphanImage            = "r.example/acme/pinned", "r.example/acme/orphan:1"
)

// newMirrorWorld has an unused image, a used one, one in its grace period, one that two
// namespaces have and one of them uses, one with the annotation that keeps it, an unused
// index with a signature, an unused image by digest, and a tag that no Artifact references.
func newMirrorWorld(t *testing.T, change ...func(*v1alpha1.ArtifactStore)) *mirrorWorld {
	t.Helper()
	return newMirrorWorldIn(t, t.TempDir(), change...)
}

func newMirrorWorldIn(t *testing.T, dir string, change ...func(*v1alpha1.ArtifactStore)) *mirrorWorld {
	t.Helper()
	w := &mirrorWorld{uses: map[workload.Use]bool{}}
	w.world = &world{Registry: registrytest.Start(t, registrytest.Own(), registrytest.InDir(dir)), t: t, gate: &gate{left: -1}, clock: clocktesting.NewFakePassiveClock(now), digest: map[string]digest.Digest{}}
	var err error
	w.client, err = registry.Open(registry.Config{Location: w.Location(v1alpha1.MirrorPrefix)})
	w.must(err)
	t.Cleanup(w.client.Close)
	w.hooks = &hooked{Registry: w.client, gate: w.gate}
	store := aStore(func(s *v1alpha1.ArtifactStore) {
		s.Name, s.Spec.Registry = v1alpha1.MirrorName, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: v1alpha1.MirrorPrefix}}
		s.Spec.Mirror = &v1alpha1.MirrorSpec{PullAddress: "127.0.0.1:7439"}
		s.Status.Workloads = &v1alpha1.WorkloadsStatus{ObservedAt: *ago(0)}
		for _, c := range change {
			c(s)
		}
	})
	objects := []client.Object{store, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ran"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "core"}}}
	for _, image := range []string{unusedImage, usedImage, graceImage, sharedImage, keptImage, orphanImage} {
		w.copied(image)
	}
	w.copiedIndex()
	pinned, err := registrytest.PushImage(t.Context(), w.Host, v1alpha1.MirrorPrefix+"/"+pinnedName, "", "pinned")
	w.must(err)
	w.digest[w.pinned()] = pinned.Digest
	w.digest[w.pinnedAt(pinned.Digest)] = pinned.Digest
	objects = append(
		objects, w.artifact("ran", unusedImage, 30), w.artifact("ran", usedImage, 0), w.artifact("ran", graceImage, 2),
		w.artifact("ran", sharedImage, 30), w.artifact("core", sharedImage, 0), w.artifact("ran", keptImage, 30), w.artifact("ran", indexImage, 31), w.artifact("ran", w.pinnedAt(pinned.Digest), 32),
	)
	w.serve(objects...)
	w.use("ran", usedImage)
	w.use("core", sharedImage)
	w.Forget()
	return w
}

func (w *mirrorWorld) pinned() string                         { return pinnedName }
func (w *mirrorWorld) pinnedAt(at digest.Digest) string       { return pinnedName + "@" + at.String() }
func (w *mirrorWorld) imageOf(reference string) rewrite.Image { return mustParse(w.t, reference) }

func mustParse(t *testing.T, reference string) rewrite.Image {
	t.Helper()
	i, err := rewrite.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// copied pushes the copy of an image with its tag.
func (w *mirrorWorld) copied(reference string) {
	w.t.Helper()
	i := w.imageOf(reference)
	desc, err := registrytest.PushImage(w.t.Context(), w.Host, i.MirrorRepository(), i.Tag, reference)
	w.must(err)
	w.digest[reference] = desc.Digest
}

func (w *mirrorWorld) copiedIndex() {
	w.t.Helper()
	i := w.imageOf(indexImage)
	index, err := registrytest.PushIndex(w.t.Context(), w.Host, i.MirrorRepository(), i.Tag, []string{"linux/amd64", "linux/arm64"}, "index")
	w.must(err)
	m, err := w.client.Manifest(w.t.Context(), i.MirrorRepository(), index.Digest)
	w.must(err)
	signature, err := registrytest.PushReferrer(w.t.Context(), w.Host, i.MirrorRepository(), index, "application/vnd.example.signature", []byte("signed"))
	w.must(err)
	w.digest[indexImage], w.digest["amd64"], w.digest["signature"] = index.Digest, m.Children[0].Digest, signature.Digest
}

// artifact returns an Artifact that is Present and has been unused for the given number of hours.
func (w *mirrorWorld) artifact(namespace, reference string, unused int) *v1alpha1.Artifact {
	a := &v1alpha1.Artifact{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.ArtifactName(reference), UID: types.UID(namespace + "/" + reference)},
		Spec:       v1alpha1.ArtifactSpec{SourceArtifact: reference},
		Status:     v1alpha1.MirrorStatus{State: v1alpha1.MirrorPresent, Digest: w.digest[reference].String()},
	}
	if unused > 0 {
		a.Status.UnusedSince = ago(unused)
	}
	if reference == keptImage {
		a.Annotations = map[string]string{v1alpha1.AnnotationKeep: ""}
	}
	return a
}

// use makes a Deployment of a namespace use an image.
func (w *mirrorWorld) use(namespace, reference string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.imageOf(reference)
	u := workload.Use{Holder: deploymentIn(namespace), Part: "container web", Repository: i.Path(), Tag: i.Tag, Digest: i.Digest}
	w.uses[u] = true
}

func deploymentIn(namespace string) reference.Object {
	return reference.Object{Kind: "Deployment", Namespace: namespace, Name: "web"}
}

func (w *mirrorWorld) config() Config {
	cfg := w.world.config()
	cfg.Store = v1alpha1.MirrorName
	cfg.Images = func(_ context.Context, _ *v1alpha1.ArtifactStore, find workload.Find) (*workload.Reading, error) {
		w.mu.Lock()
		w.reads++
		n, on := w.reads, w.onRead
		w.mu.Unlock()
		if on != nil {
			on(n)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		found := map[workload.Use]bool{}
		for u := range w.uses {
			host, path, _ := strings.Cut(u.Repository, "/")
			if _, ok := find(rewrite.Source(host), path); ok {
				found[u] = true
			}
		}
		r := workload.NewReading(now, found)
		r.Sources = w.sources
		return r, nil
	}
	return cfg
}

func (w *mirrorWorld) run() (Report, error) {
	w.t.Helper()
	return Run(w.t.Context(), w.config())
}

// there reports whether an image's copy can be pulled, by the reference that nodes pull.
func (w *mirrorWorld) there(reference string) bool {
	w.t.Helper()
	i := w.imageOf(reference)
	name := i.Tag
	if i.Digest != "" {
		name = i.Digest
	}
	found, err := w.client.Resolve(w.t.Context(), i.MirrorRepository(), name)
	if err == nil {
		return found.Digest == w.digest[reference]
	}
	if !errors.Is(err, registry.ErrNotFound) {
		w.t.Fatal(err)
	}
	return false
}

// digestThere reports whether a digest is in the repository of an image.
func (w *mirrorWorld) digestThere(reference, name string) bool {
	w.t.Helper()
	_, err := w.client.Resolve(w.t.Context(), w.imageOf(reference).MirrorRepository(), w.digest[name].String())
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

// now returns the stored Artifact; nil if it was deleted.
func (w *mirrorWorld) now(namespace, reference string) *v1alpha1.Artifact {
	w.t.Helper()
	var a v1alpha1.Artifact
	err := w.raw.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: v1alpha1.ArtifactName(reference)}, &a)
	w.must(client.IgnoreNotFound(err))
	if err != nil {
		return nil
	}
	return &a
}

// later advances the clock.
func (w *mirrorWorld) later(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// pinnedImage returns the image that is referenced by digest.
func (w *mirrorWorld) pinnedImage() string { return w.pinnedAt(w.digest[w.pinned()]) }

// mustHave fails the test unless all given images can be pulled.
func (w *mirrorWorld) mustHave(references ...string) {
	w.t.Helper()
	for _, r := range references {
		if !w.there(r) {
			w.t.Errorf("%s is lost from the mirror", r)
		}
	}
}

// refuseManifests answers every push of a manifest with 403.
func refuseManifests(rw http.ResponseWriter, req *http.Request) bool {
	if req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/manifests/") {
		return false
	}
	registrytest.Fail(rw, http.StatusForbidden, "DENIED", "no")
	return true
}

// refuseDigests answers every deletion of a digest with 403.
func refuseDigests(rw http.ResponseWriter, req *http.Request) bool {
	if req.Method != http.MethodDelete || !strings.Contains(req.URL.Path, "sha256:") {
		return false
	}
	registrytest.Fail(rw, http.StatusForbidden, "DENIED", "no")
	return true
}
