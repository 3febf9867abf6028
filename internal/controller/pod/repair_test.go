package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/reference"
)

// cluster lists pods, and records how they are changed.
type cluster struct {
	*Repairer
	clock *clocktesting.FakePassiveClock

	mu      sync.Mutex
	pods    []corev1.Pod
	asked   []string
	patched []string
	fails   error // the error of patches
	may     bool  // whether pods may be changed
}

// newCluster makes a cluster, with or without a mirror that has the image of the pods.
func newCluster(t *testing.T, mirror bool) *cluster {
	t.Helper()
	c := &cluster{clock: clocktesting.NewFakePassiveClock(now)}
	api := httptest.NewServer(c)
	t.Cleanup(api.Close)
	var objects []client.Object
	if mirror {
		s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.MirrorName}}
		s.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorAll, PullAddress: "127.0.0.1:7439"}
		objects = append(objects, s)
		for _, namespace := range append(loud(), "core", "ran", metav1.NamespaceSystem) {
			a := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.ArtifactName(own)}}
			a.Spec.SourceArtifact, a.Status.State = own, v1alpha1.MirrorPresent
			objects = append(objects, a)
		}
	}
	kube := aClient(t, interceptor.Funcs{Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
		o.(*authorizationv1.SelfSubjectAccessReview).Status.Allowed = c.may
		return nil
	}, Patch: func(_ context.Context, _ client.WithWatch, o client.Object, p client.Patch, _ ...client.PatchOption) error {
		text, _ := p.Data(o)
		c.patched = append(c.patched, o.GetNamespace()+"/"+o.GetName()+" "+string(p.Type())+" "+string(text))
		return c.fails
	}}, objects...)
	r, err := New(&rest.Config{Host: api.URL}, api.Client(), Options{
		Client: kube, Facts: &mirrored.Facts{Cached: kube, Namespace: v1alpha1.ManagerNamespace}, Events: events.NewFakeRecorder(1000),
		Uses: NewQueue(), Clock: c.clock, Now: c.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Repairer = r
	return c
}

// ServeHTTP answers lists of pods, in pages of 100.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.URL.RequestURI())
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
	from := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &from)
	for i, p := range c.pods[from:] {
		if i == 100 {
			list.Continue = fmt.Sprint(from + i)
			break
		}
		if strings.HasSuffix(r.URL.Query().Get("fieldSelector"), "="+string(p.Status.Phase)) {
			list.Items = append(list.Items, p)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// pod adds a pod that cannot pull its image.
func (c *cluster) pod(namespace, name, image string) *corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name), ResourceVersion: "7"}}
	p.Spec.Containers = []corev1.Container{{Name: "upf", Image: image}}
	p.Status.Phase = corev1.PodPending
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "upf", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}}}
	c.pods = append(c.pods, p)
	return &c.pods[len(c.pods)-1]
}

// passed runs a pass and returns its changes.
func (c *cluster) passed(t *testing.T) []string {
	t.Helper()
	c.patched = nil
	if err := c.pass(t.Context()); err != nil && c.fails == nil {
		t.Fatal(err)
	}
	return c.patched
}

func TestAPodIsChangedInPlace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	c.pod("core", "upf", own)
	c.pod("core", "pulls", own).Status.ContainerStatuses[0].State.Waiting.Reason = "ContainerCreating"
	c.pod("core", "goes", own).DeletionTimestamp = new(metav1.NewTime(now))
	c.pod("core", "huge", strings.Repeat("a", maxPod))
	want := `core/upf application/strategic-merge-patch+json {"metadata":{"annotations":{"nfo.dev/image-repairs":"1 2026-01-31T12:00:00Z",` +
		`"nfo.dev/original-images":"{\"containers/upf\":\"r.example/upf:1\"}"},"resourceVersion":"7"},"spec":{"containers":[{"image":"` + atMirror + `","name":"upf"}]}}`
	if got := c.passed(t); len(got) != 1 || got[0] != want {
		t.Errorf("%v", got)
	}
	if len(c.asked) != 2 || !strings.Contains(c.asked[0], "fieldSelector=status.phase%3DPending") || !strings.Contains(c.asked[1], "Running") {
		t.Errorf("it has listed %v", c.asked)
	}
	if event := <-c.o.Events.(*events.FakeRecorder).Events; !strings.Contains(event, v1alpha1.ReasonImageFromMirror) {
		t.Errorf("the event is %s", event)
	}
}

// How long a node has failed to pull an image that the mirror has is measured from when the pod was first seen to fail.
func TestR5ANodeThatCannotPullFromTheMirror(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	c.pod("core", "upf", atMirror)
	running := c.pod("core", "restarted", atMirror)
	running.Status.Phase = corev1.PodRunning
	if got := c.passed(t); len(got) != 0 {
		t.Errorf("at once: %v", got)
	}
	c.clock.SetTime(now.Add(mirrorPatience))
	if got := c.passed(t); len(got) != 2 || !strings.Contains(got[0]+got[1], `"image":"`+own+`"`) {
		t.Errorf("after a minute: %v", got)
	}
}

func TestWithoutAMirrorNothingIsListedWithoutTheRight(t *testing.T) {
	t.Parallel()
	c := newCluster(t, false)
	c.pod("core", "upf", atMirror)
	for range 3 {
		if got := c.passed(t); len(got)+len(c.asked) != 0 {
			t.Errorf("%v, %v", got, c.asked)
		}
	}
	// The permission may be granted later, and the annotation has the original image.
	c.may = true
	c.pods[0].Annotations = map[string]string{v1alpha1.AnnotationOriginalImages: `{"containers/upf":"` + own + `"}`}
	c.clock.SetTime(now.Add(deniedFor))
	if got := c.passed(t); len(got) != 1 {
		t.Errorf("with the right: %v", got)
	}
}

func TestAPassIsBounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	c.pace.SetLimit(1e6)
	for n := range 300 {
		c.pod("core", fmt.Sprint("loud", n), own)
	}
	c.pod("ran", "quiet", own)
	got := c.passed(t)
	if len(got) != maxPatchesOf+1 || !strings.HasPrefix(got[maxPatchesOf], "ran/quiet") {
		t.Errorf("%d pods are changed", len(got))
	}
}

// loud are namespaces that together have more pods that cannot start than a pass keeps.
func loud() (all []string) {
	for n := range maxStuck / maxStuckOf {
		all = append(all, fmt.Sprint("a", n))
	}
	return all
}

func TestPodsThatNothingHelpsKeepNoOthersWaiting(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	for _, namespace := range loud() {
		for n := range maxStuckOf {
			c.pod(namespace, fmt.Sprint("loud", n), "r.example/nowhere:1")
		}
	}
	c.pod("ran", "quiet", "127.0.0.1:7439/r.example/gone:1")
	if got := c.passed(t); len(got) != 1 || !strings.HasPrefix(got[0], "ran/quiet") {
		t.Errorf("changed are %v", got)
	}
}

func TestPodsThatWaitHaveTheirTurns(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	for _, namespace := range loud() {
		for n := range maxStuckOf {
			c.pod(namespace, fmt.Sprintf("loud%03d", n), atMirror)
		}
	}
	c.pod("ran", "quiet", "127.0.0.1:7439/r.example/gone:1")
	c.pod("ran", "waits", atMirror)
	if got := c.passed(t); len(got) != 0 {
		t.Errorf("changed are %v", got)
	}
	if got := c.passed(t); len(got) != 1 || !strings.HasPrefix(got[0], "ran/quiet") {
		t.Errorf("at its turn: %v", got)
	}
	// All count as failing since their first turn.
	c.pace.SetLimit(1e6)
	c.clock.SetTime(now.Add(mirrorPatience))
	if got := c.passed(t); len(got) != maxPatchesOf*len(loud()) {
		t.Errorf("once they have waited, %d are changed", len(got))
	}
	if got := c.passed(t); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "ran/waits") }) {
		t.Errorf("and those of the second turn: %v", got)
	}
}

// Lists of all namespaces have the pods of a-b before those of
// a, and lists of watched namespaces must have the same order.
func TestNamespacesThatAreWatchedHaveTheirTurns(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	c.o.Facts.Watched = reference.Watched{"a", "a-b"}
	if got := c.namespaces(); !slices.Equal(got, []string{"a-b", "a"}) {
		t.Errorf("the namespaces are listed as %v", got)
	}
}

// The registry, its volume and its network may need these pods before the mirror can answer.
func TestR6PodsOfKubeSystemAreNotPointedAtTheMirror(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	c.pod(metav1.NamespaceSystem, "cni", own)
	c.pod(metav1.NamespaceSystem, "moved", "127.0.0.1:7439/r.example/gone:1")
	if got := c.passed(t); len(got) != 1 || !strings.HasPrefix(got[0], metav1.NamespaceSystem+"/moved") {
		t.Errorf("changed are %v, want the one that was there already", got)
	}
}

func TestAChangeThatIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, true)
	c.pod("core", "upf", own)
	c.fails = apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "upf", nil)
	if got := c.passed(t); len(got) != 1 {
		t.Errorf("%v", got)
	}
	c.fails = apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "upf", nil)
	if got := c.passed(t); len(got) != 1 {
		t.Errorf("after a conflict: %v", got)
	}
	c.clock.SetTime(now.Add(refusedFor - time.Second))
	if got := c.passed(t); len(got) != 0 {
		t.Errorf("though it was refused: %v", got)
	}
	c.clock.SetTime(now.Add(refusedFor + time.Second))
	if got := c.passed(t); len(got) != 1 {
		t.Errorf("later: %v", got)
	}
}
