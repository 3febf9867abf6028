package artifact

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/mirror"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload/workloadtest"
)

// scene is a cluster without a manager, a source, and the mirror's registry. The test runs the passes.
type scene struct {
	t              *testing.T
	source, target *registrytest.Registry
	dir            string // of the target's volume
	api            client.Client
	clock          *clocktesting.FakePassiveClock
	ticks          clock.PassiveClock // the reconciler's clock
	events         *events.FakeRecorder
	own            string // an image of nfo itself
	platforms      platform.List
	r              *Reconciler
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir(), source: registrytest.Start(t), clock: clocktesting.NewFakePassiveClock(time.Unix(1_000_000, 0))}
	s.target = registrytest.Start(t, registrytest.Own(), registrytest.InDir(s.dir))
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	ready := []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
	store := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "nfo-system", Name: v1alpha1.MirrorName, Generation: 1}}
	store.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: v1alpha1.MirrorPrefix}
	store.Spec.Mirror, store.Status.Conditions = &v1alpha1.MirrorSpec{RefreshPeriod: metav1.Duration{Duration: 10 * time.Minute}}, ready
	known := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "acme"}}
	known.Spec.Registry.URL, known.Status.Conditions, known.Status.FirstReadyTime = s.source.URL("acme"), ready, &metav1.Time{Time: time.Unix(1000, 0)}
	s.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(store, known).WithStatusSubresource(&v1alpha1.Artifact{}).Build()
	s.ticks = s.clock
	s.restart()
	return s
}

// restart makes a new reconciler.
func (s *scene) restart() {
	s.t.Helper()
	to, err := registry.Open(registry.Config{Location: s.target.Location(v1alpha1.MirrorPrefix)})
	if err != nil {
		s.t.Fatal(err)
	}
	speeds := lane.NewSpeeds(s.ticks)
	kube, through := workloadtest.Lists(s.t, s.api)
	m, err := mirror.New(kube, through, mirror.Options{API: s.api, Stores: s.api, Speeds: speeds, Platforms: s.platforms, Addresses: registry.RemoteAndLoopback, RequestsPerSecond: 1e6, Open: func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error) { return to, nil }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.events = events.NewFakeRecorder(100)
	s.r, err = New(Reconciler{
		Client: s.api, Live: s.api, Mirror: m, Store: client.ObjectKey{Namespace: "nfo-system", Name: v1alpha1.MirrorName}, Events: s.events, Clock: s.ticks, Now: s.clock.Now,
		Rules: (&mirrored.Facts{Cached: s.api, Namespace: "nfo-system", Image: s.own}).Rules,
	}, speeds, 3)
	if err != nil {
		s.t.Fatal(err)
	}
}

// artifact creates the Artifact of an image at the source.
func (s *scene) artifact(namespace, image string) *v1alpha1.Artifact {
	s.t.Helper()
	a := &v1alpha1.Artifact{}
	a.Spec.SourceArtifact = s.source.Host + "/acme/" + image
	a.Namespace, a.Name, a.UID = namespace, v1alpha1.ArtifactName(a.Spec.SourceArtifact), types.UID(namespace+image)
	if err := s.api.Create(s.t.Context(), a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// push pushes upf:1 to the source.
func (s *scene) push(seed string) ocispec.Descriptor {
	s.t.Helper()
	d, err := registrytest.PushIndex(s.t.Context(), s.source.Host, "acme/upf", "1", []string{"linux/amd64", "linux/arm64"}, seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// pass runs one pass, and returns how long until the next one.
func (s *scene) pass(a *v1alpha1.Artifact) time.Duration {
	s.t.Helper()
	if err := s.api.Get(s.t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
		s.t.Fatal(err)
	}
	result, err := s.r.Reconcile(s.t.Context(), a.DeepCopy())
	if err == nil {
		err = client.IgnoreNotFound(s.api.Get(s.t.Context(), client.ObjectKeyFromObject(a), a))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return result.RequeueAfter
}

// want fails the test unless an Artifact has a state, and its condition Ready a status and a text.
func (s *scene) want(a *v1alpha1.Artifact, state v1alpha1.MirrorState, status metav1.ConditionStatus, says string) {
	s.t.Helper()
	c := apimeta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || a.Status.State != state || c.Status != status || !strings.Contains(c.Message, says) {
		s.t.Errorf("it is %s with %+v, want %s and %s and that it says %q", a.Status.State, c, state, status, says)
	}
}

// event fails the test unless an event with this reason was recorded.
func (s *scene) event(reason string) {
	s.t.Helper()
	for {
		select {
		case e := <-s.events.Events:
			if strings.Contains(e, " "+reason+" ") {
				return
			}
		default:
			s.t.Errorf("no event %s", reason)
			return
		}
	}
}

func (s *scene) requests() int { return s.source.Count(nil) + s.target.Count(nil) }

func (s *scene) forget() {
	s.source.Forget()
	s.target.Forget()
}

func TestAnArtifactIsCopiedAndRefreshed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d, a := s.push("one"), s.artifact("ran", "upf:1")
	if wait := s.pass(a); wait < 10*time.Minute || wait > 11*time.Minute {
		t.Errorf("it comes again after %s", wait)
	}
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	s.event(v1alpha1.ReasonPresent)
	if a.Status.Digest != d.Digest.String() || a.Status.Size <= d.Size || a.Status.CopiedPercent != nil || a.Status.SourceSeenAt == nil || !strings.HasPrefix(a.Status.Repository, v1alpha1.MirrorPrefix+"/127.0.0.1_") {
		t.Errorf("its status is %+v", a.Status)
	}
	// Until it is due, no registry is asked, whatever wakes it.
	s.forget()
	version := a.ResourceVersion
	if s.pass(a); s.requests() != 0 {
		t.Errorf("%d requests were made before it was due", s.requests())
	}
	// After a restart, and when it is due, each registry gets one request, and nothing is written.
	s.restart()
	s.pass(a)
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	s.forget()
	s.pass(a)
	if s.source.Count(nil) != 1 || s.target.Count(nil) != 1 || a.ResourceVersion != version {
		t.Errorf("%d requests to the source and %d to the mirror, and the status was written: %t", s.source.Count(nil), s.target.Count(nil), a.ResourceVersion != version)
	}
	// A new image of a tag is copied, and then the mirror's tag moves.
	d = s.push("two")
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	s.event(v1alpha1.ReasonTagMoved)
	if at, err := registrytest.TagDigest(t.Context(), s.target.Host, a.Status.Repository, "1"); err != nil || at != d.Digest || a.Status.Digest != d.Digest.String() {
		t.Errorf("the mirror's tag is at %s, want %s, %v", at, d.Digest, err)
	}
}

// R5: without the source, and then without the mirror, an Artifact
// that was Present stays so, and its condition says what is wrong.
func TestR5PresentStays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a, late := s.artifact("ran", "upf:1"), s.artifact("other", "upf:1")
	s.pass(a)
	s.source.Down()
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has not answered since 1970-01-12T13:57:40Z")
	if a.Status.SourceUnreachableSince == nil {
		t.Error("it does not say since when")
	}
	// A second namespace, for which the source has never answered, must not get the copy.
	s.pass(late)
	s.want(late, v1alpha1.MirrorFailed, metav1.ConditionFalse, "nfo tries again at 1970-")
	s.event("Unavailable")
	s.target.Down()
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionUnknown, "cluster's registry cannot be read")
	s.target.Up()
	s.source.Up()
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	if a.Status.SourceUnreachableSince != nil {
		t.Error("the source answers, and it says that it does not")
	}
	// It gets the copy once the source has answered, and nothing is copied again.
	s.forget()
	s.pass(late)
	s.want(late, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	if n := s.source.Count(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }); n != 0 || late.Status.Size != a.Status.Size {
		t.Errorf("%d blobs were read again, its size is %d", n, late.Status.Size)
	}
}

// R1: a part that the mirror has lost is reported and copied again.
// While the source does not answer, the Artifact is Corrupt.
func TestR1Corrupt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	damage := func() {
		files, err := filepath.Glob(filepath.Join(s.dir, "docker/registry/v2/blobs/sha256/*/*/data"))
		if err != nil || len(files) == 0 {
			t.Fatal("there are no files", err)
		}
		for _, f := range files {
			if err := os.Truncate(f, 1); err != nil {
				t.Fatal(err)
			}
		}
		s.target.App = registrytest.Start(t, registrytest.Own(), registrytest.InDir(s.dir)).App
		s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	}
	damage()
	s.source.Down()
	if wait := s.pass(a); wait > 15*time.Second {
		t.Errorf("it comes again after %s", wait)
	}
	s.want(a, v1alpha1.MirrorCorrupt, metav1.ConditionFalse, "cannot be copied again")
	s.event("Unavailable")
	s.source.Up()
	s.clock.SetTime(s.clock.Now().Add(time.Minute))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	damage()
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	s.event(v1alpha1.ReasonCorrupt)
}

// A lost tag must be restored without the source, so that nodes that ask for it get it.
func TestR5ATagIsPutBackWithoutTheSource(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	was := a.Status
	s.source.Down()
	mirrored, err := registry.Open(registry.Config{Location: s.target.Location(v1alpha1.MirrorPrefix)})
	if err == nil {
		err = mirrored.Untag(t.Context(), a.Status.Repository, "1")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has not answered since")
	if a.Status.Digest != was.Digest || a.Status.Size != was.Size || a.Status.MediaType != was.MediaType {
		t.Errorf("the status is %+v, was %+v", a.Status, was)
	}
	if has, err := mirrored.Resolve(t.Context(), a.Status.Repository, "1"); err != nil || has.Digest.String() != was.Digest {
		t.Errorf("the tag is at %q, %v", has.Digest, err)
	}
}

// A purge that claims the Artifact must not be disturbed, even in the middle of a copy, and no tag may be set after it.
func TestAClaimedArtifactIsLeft(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a := s.artifact("ran", "upf:1")
	var claimed atomic.Bool
	s.target.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") && claimed.CompareAndSwap(false, true) {
			var now v1alpha1.Artifact
			err := s.api.Get(t.Context(), client.ObjectKeyFromObject(a), &now)
			if now.Status.State != v1alpha1.MirrorCopying {
				t.Errorf("while it is copied it is %s", now.Status.State)
			}
			now.Status.State = v1alpha1.MirrorReleasing
			if err = errors.Join(err, s.api.Status().Update(t.Context(), &now)); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	s.pass(a)
	if !claimed.Load() || a.Status.State != v1alpha1.MirrorReleasing {
		t.Errorf("it is %s", a.Status.State)
	}
	if _, err := registrytest.TagDigest(t.Context(), s.target.Host, mustRepository(t, a), "1"); err == nil {
		t.Error("the mirror has a tag")
	}
	s.forget()
	if wait := s.pass(a); wait != 0 || s.requests() != 0 {
		t.Errorf("a claimed Artifact comes again after %s and makes %d requests", wait, s.requests())
	}
}

// A pass must keep what others write meanwhile.
func TestOthersWrites(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a := s.artifact("ran", "upf:1")
	stale := a.DeepCopy()
	a.Status.UserCount, a.Status.Users = 1, []v1alpha1.ArtifactUser{{Kind: "Deployment", Name: "upf"}}
	if err := s.api.Status().Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if _, err := s.r.Reconcile(t.Context(), stale); err != nil { // as from a cache that lags
		t.Fatal(err)
	}
	if err := s.api.Get(t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
		t.Fatal(err)
	}
	if s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, ""); a.Status.UserCount != 1 || len(a.Status.Users) != 1 {
		t.Errorf("its users are %+v", a.Status.Users)
	}
}

// Failures are retried more and more slowly.
func TestFailuresBackOff(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.artifact("ran", "absent:1")
	var last time.Duration
	for range 4 {
		wait := s.pass(a)
		if wait < last || wait < 5*time.Minute || wait > 33*time.Minute {
			t.Errorf("it comes again after %s, and after %s before", wait, last)
		}
		last = wait
		s.want(a, v1alpha1.MirrorFailed, metav1.ConditionFalse, "Check the name and the tag")
		s.clock.SetTime(s.clock.Now().Add(wait))
	}
	if last < 30*time.Minute {
		t.Errorf("the last one was %s", last)
	}
	elsewhere := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "elsewhere", UID: "elsewhere"}}
	elsewhere.Spec.SourceArtifact = "elsewhere.example/acme/upf:1"
	if err := s.api.Create(t.Context(), elsewhere); err != nil {
		t.Fatal(err)
	}
	s.pass(elsewhere)
	s.want(elsewhere, v1alpha1.MirrorFailed, metav1.ConditionFalse, "no ArtifactStore contains it")
	short := elsewhere.DeepCopy()
	short.Name, short.UID, short.ResourceVersion, short.Spec.SourceArtifact = "short", "short", "", "nginx"
	if err := s.api.Create(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	s.pass(short)
	s.want(short, v1alpha1.MirrorFailed, metav1.ConditionFalse, "docker.io/library/nginx:latest")
}

// If the source cannot list what is attached to an image, the image must be copied at the second try, and the
// condition must say that signatures may be missing. Once the source can list them, they must be copied, too.
func TestASourceThatCannotSayWhatIsAttached(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		pinned, recovers bool
	}{"for ever": {}, "for a moment": {recovers: true}, "pinned": {pinned: true}, "pinned, for a moment": {pinned: true, recovers: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := s.push("one")
			if _, err := registrytest.PushReferrer(t.Context(), s.source.Host, "acme/upf", d, "application/x.signature", []byte("signed")); err != nil {
				t.Fatal(err)
			}
			s.source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/referrers/") {
					return false
				}
				registrytest.Fail(w, http.StatusInternalServerError, "UNKNOWN", "ill")
				return true
			})
			image := "upf:1"
			if tt.pinned {
				image = "upf@" + d.Digest.String()
			}
			a := s.artifact("ran", image)
			wait := s.pass(a)
			s.want(a, v1alpha1.MirrorFailed, metav1.ConditionFalse, "finding signatures")
			s.clock.SetTime(s.clock.Now().Add(wait))
			if tt.recovers {
				s.source.Intercept(nil)
			}
			s.pass(a)
			to, err := registry.Open(registry.Config{Location: s.target.Location("")})
			if err != nil {
				t.Fatal(err)
			}
			of, err := to.Source(t.Context(), a.Status.Repository, d.Digest.String())
			if err != nil {
				t.Fatal(err)
			}
			attached, err := to.Satellites(t.Context(), a.Status.Repository, of)
			if err != nil || len(attached) > 0 != tt.recovers {
				t.Errorf("attached are %d, %v", len(attached), err)
			}
			says := "Signatures or other satellites of it are missing"
			if tt.recovers {
				says = whole
			}
			s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, says)
		})
	}
}

// If the source lacks a part of an image, the message must not blame the image's name.
func TestASourceThatLacksAPart(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := s.push("one")
	s.source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/sha256:") || strings.HasSuffix(r.URL.Path, d.Digest.String()) {
			return false
		}
		registrytest.Fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "not here")
		return true
	})
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	s.want(a, v1alpha1.MirrorFailed, metav1.ConditionFalse, "with all of its platforms")
}

// Copies of one namespace must leave a place to others, and a pass that waits must make no requests.
func TestCopiesAreShared(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a, other := s.artifact("ran", "upf:1"), s.artifact("other", "upf:1")
	image, err := image(a)
	if err != nil {
		t.Fatal(err)
	}
	for range CopyBounds(3).Namespace {
		if leave, _ := s.r.Copies.Enter(mirror.Place("ran", image), "somebody"); leave == nil {
			t.Fatal("no place")
		}
	}
	if wait := s.pass(a); wait > 2*time.Second {
		t.Errorf("it comes again after %s", wait)
	}
	s.want(a, v1alpha1.MirrorPending, metav1.ConditionFalse, "waits for its turn")
	s.forget()
	if s.pass(a); s.requests() != 0 {
		t.Errorf("who waits makes %d requests", s.requests())
	}
	s.pass(other)
	s.want(other, v1alpha1.MirrorPresent, metav1.ConditionTrue, "")
}

func mustRepository(t *testing.T, a *v1alpha1.Artifact) string {
	t.Helper()
	i, err := image(a)
	if err != nil {
		t.Fatal(err)
	}
	return i.MirrorRepository()
}

// nfo's own image is needed to start the mirror, so it must never wait
// for the mirror, not even if a person creates an Artifact for it.
func TestR6TheOwnImageIsNotMirrored(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	s.own = s.source.Host + "/acme/upf:2"
	s.restart()
	a := s.artifact("ran", "upf:1")
	s.forget()
	s.pass(a)
	s.want(a, v1alpha1.MirrorFailed, metav1.ConditionFalse, "nfo's own")
	if n := s.requests(); n > 0 {
		t.Errorf("registries were asked %d times", n)
	}
}

// The hook of a deletion pulls its image when the release's Secret and pods are gone. The copy
// must stay Present, so that pods pull it from the mirror, and its grace must begin only then.
func TestADeleteHookPullsAfterItsSecretHasGone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := s.push("one")
	s.source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if _, password, _ := r.BasicAuth(); password == "right" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="source"`)
		registrytest.Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "log in")
		return true
	})
	image := s.source.Host + "/acme/upf:1"
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "pull"}, Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		corev1.DockerConfigJsonKey: []byte(`{"auths":{"` + s.source.Host + `":{"username":"puller","password":"right"}}}`),
	}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "upf", Image: image}}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
	}}
	if err := errors.Join(s.api.Create(t.Context(), secret), s.api.Create(t.Context(), pod)); err != nil {
		t.Fatal(err)
	}
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")

	if err := errors.Join(s.api.Delete(t.Context(), pod), s.api.Delete(t.Context(), secret)); err != nil {
		t.Fatal(err)
	}
	s.restart() // this also drops which login worked
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "The source cannot be read")
	facts := &mirrored.Facts{Cached: s.api, Namespace: "nfo-system"}
	hook, err := rewrite.Parse(image)
	if err != nil || !facts.Present(t.Context(), "ran", hook) {
		t.Errorf("%v; the hook's pod is not made to pull from the mirror", err)
	}
	n := need{whole: true, namespaces: map[string]namespace{"ran": {}}, now: metav1.NewTime(s.clock.Now())}
	n.plan([]v1alpha1.Artifact{*a}, nil)
	if len(n.used) != 1 || n.used[0].is.Status.State != v1alpha1.MirrorPresent || !n.used[0].is.Status.UnusedSince.Equal(&n.now) {
		t.Errorf("its use is recorded as %+v, want that its grace begins", n.used)
	}
	if at, err := registrytest.TagDigest(t.Context(), s.target.Host, a.Status.Repository, "1"); err != nil || at != d.Digest {
		t.Errorf("the mirror has %s, %v, want %s", at, err, d.Digest)
	}
}

// If the source never answers, an image that was pushed into the mirror is Present if
// pods pull from the mirror in any case. Once the source answers, its answer counts.
func TestASideLoadedImage(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	elsewhere := s.push("one")
	s.source.Down()
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	s.want(a, v1alpha1.MirrorFailed, metav1.ConditionFalse, "The source cannot be read")
	path := v1alpha1.MirrorPrefix + "/" + strings.Replace(s.source.Host, ":", "_", 1) + "/acme/upf"
	loaded, err := registrytest.PushIndex(t.Context(), s.target.Host, path, "1", []string{"linux/amd64"}, "loaded")
	if err != nil {
		t.Fatal(err)
	}
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	s.pass(a)
	s.want(a, v1alpha1.MirrorFailed, metav1.ConditionFalse, "mirror.rewrite=Always")

	store := &v1alpha1.ArtifactStore{}
	if err := s.api.Get(t.Context(), s.r.Store, store); err != nil {
		t.Fatal(err)
	}
	store.Spec.Mirror.Rewrite, store.Generation = v1alpha1.RewriteAlways, 2
	if err := s.api.Update(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has not answered since 1970-01-12T13:46:40Z")
	s.event(v1alpha1.ReasonPresent)
	if a.Status.Digest != loaded.Digest.String() || a.Status.Size == 0 || a.Status.MediaType != loaded.MediaType || a.Status.SourceUnreachableSince == nil || a.Status.SourceSeenAt != nil {
		t.Errorf("its status is %+v", a.Status)
	}
	version := a.ResourceVersion
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	if s.pass(a); a.ResourceVersion != version {
		t.Error("the same is written again")
	}
	s.source.Up()
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	if a.Status.Digest != elsewhere.Digest.String() || a.Status.SourceUnreachableSince != nil {
		t.Errorf("its status is %+v, want what the source has", a.Status)
	}
}
