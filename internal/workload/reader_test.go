package workload

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload/named"
)

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// api is an API server that can fail. It serves lists by their paths, in pages of two objects.
type api struct {
	lists map[string][]string // of objects, as JSON
	kinds map[string]string   // of the lists, by path

	mu    sync.Mutex
	asked []string
	// answer, if not nil, answers a request if it returns true.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.Path+"?"+r.URL.Query().Get("continue"))
	a.mu.Unlock()
	if a.answer != nil && a.answer(w, r) {
		return
	}
	items, ok := a.lists[r.URL.Path]
	if !ok && strings.Contains(r.URL.Path, "customresourcedefinitions") {
		refuse(w, http.StatusNotFound, "NotFound")
		return
	}
	from := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &from)
	to, next := len(items), ""
	if from+2 < len(items) {
		to, next = from+2, fmt.Sprint(from+2)
	}
	kind := a.kinds[r.URL.Path]
	if kind == "" {
		kind = kindOfPath(r.URL.Path)
	}
	_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":"v1","metadata":{"continue":%q},"items":[%s]}`, kind, next, strings.Join(items[from:to], ","))
}

// kindOfPath returns the kind of the list of a resource.
func kindOfPath(path string) string {
	resource := path[strings.LastIndex(path, "/")+1:]
	for _, all := range kinds {
		for _, k := range all {
			if k.Resource == resource {
				return k.kind + "List"
			}
		}
	}
	return "NamespaceList"
}

func refuse(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Reason: metav1.StatusReason(reason), Message: "refused by the test"})
}

func (a *api) reader(t *testing.T) *Reader {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	r, err := NewReader(&rest.Config{Host: server.URL}, server.Client(), nil, clock.RealClock{}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func aStore(sources ...v1alpha1.WorkloadSource) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "acme", UID: "store"}}
	s.Spec.Registry.URL = "https://r.example/acme"
	s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: sources}
	return s
}

func aPod(name, owner string) string {
	return fmt.Sprintf(`{"metadata":{"namespace":"ran","name":%q,"uid":%q%s},"spec":{"containers":[{"name":"web","image":"r.example/acme/cnf/nginx:1"}]}}`, name, "uid-"+name, owner)
}

func ownedBy(apiVersion, kind, name string) string {
	return fmt.Sprintf(`,"ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q,"controller":true}]`, apiVersion, kind, name, "uid-"+name)
}

func TestI14EveryPlaceThatNamesAnImageHolds(t *testing.T) {
	t.Parallel()
	use := func(kind, name, part string) Use {
		return Use{Holder: reference.Object{Kind: kind, Namespace: "ran", Name: name}, Part: part, Repository: "acme/cnf/nginx", Tag: "1"}
	}
	meta := `"metadata":{"namespace":"ran","name":"x","uid":"uid-x"}`
	of := func(image string) string { return `[{"name":"web","image":"` + image + `"}]` }
	nginx, atMirror := of("r.example/acme/cnf/nginx:1"), of("127.0.0.1:7439/r.example/acme/cnf/nginx:1")
	pulledThere := `[{"name":"web","image":"127.0.0.1:7439/r.example/acme/cnf/nginx:1","imageID":"127.0.0.1:7439/r.example/acme/cnf/nginx@` + digestA + `"}]`
	digest := func(part string) Use {
		return Use{Holder: reference.Object{Kind: "Pod", Namespace: "ran", Name: "x"}, Part: part, Repository: "acme/cnf/nginx", Digest: digestA}
	}
	tests := map[string]struct {
		reason, path, object string
		want                 []Use
	}{
		"container":           {reason: "of a pod", path: "/api/v1/pods", object: `{` + meta + `,"spec":{"containers":` + nginx + `}}`, want: []Use{use("Pod", "x", "container web")}},
		"init container":      {reason: "it runs first", path: "/api/v1/pods", object: `{` + meta + `,"spec":{"initContainers":` + nginx + `}}`, want: []Use{use("Pod", "x", "init container web")}},
		"ephemeral container": {reason: "somebody debugs", path: "/api/v1/pods", object: `{` + meta + `,"spec":{"ephemeralContainers":` + nginx + `}}`, want: []Use{use("Pod", "x", "ephemeral container web")}},
		"image volume":        {reason: "it is pulled as any image", path: "/api/v1/pods", object: `{` + meta + `,"spec":{"volumes":[{"name":"data","image":{"reference":"r.example/acme/cnf/nginx:1"}},{"name":"other","emptyDir":{}}]}}`, want: []Use{use("Pod", "x", "volume data")}},
		"pulled digest": {reason: "the tag may have moved since", path: "/api/v1/pods",
			object: `{` + meta + `,"spec":{"containers":` + of("mirror.example/nginx:1") + `},"status":{"containerStatuses":[{"name":"web","image":"x","imageID":"r.example/acme/cnf/nginx@` + digestA + `"}]}}`,
			want:   []Use{{Holder: reference.Object{Kind: "Pod", Namespace: "ran", Name: "x"}, Part: "container web", Repository: "acme/cnf/nginx", Digest: digestA}}},
		"pulled from the mirror": {reason: "its names are in the pod, and the original ones in the annotation", path: "/api/v1/pods",
			object: `{"metadata":{"namespace":"ran","name":"x","annotations":{"nfo.dev/original-images":"{\"containers/web\":\"r.example/acme/cnf/nginx:1\"}"}},"spec":{"containers":` + atMirror + `},"status":{"containerStatuses":` + pulledThere + `}}`,
			want:   []Use{digest("container web"), use("Pod", "x", "container web")}},
		"debugged from the mirror": {reason: "the API server keeps no annotation that comes with an ephemeral container", path: "/api/v1/pods",
			object: `{` + meta + `,"spec":{"ephemeralContainers":` + atMirror + `},"status":{"ephemeralContainerStatuses":` + pulledThere + `}}`,
			want:   []Use{digest("ephemeral container web"), use("Pod", "x", "ephemeral container web")}},
		"Deployment":               {reason: "scaled to zero", path: "/apis/apps/v1/deployments", object: `{` + meta + `,"spec":{"replicas":0,"template":{"spec":{"containers":` + nginx + `}}}}`, want: []Use{use("Deployment", "x", "container web")}},
		"StatefulSet":              {reason: "its template", path: "/apis/apps/v1/statefulsets", object: `{` + meta + `,"spec":{"template":{"spec":{"containers":` + nginx + `}}}}`, want: []Use{use("StatefulSet", "x", "container web")}},
		"DaemonSet":                {reason: "its template", path: "/apis/apps/v1/daemonsets", object: `{` + meta + `,"spec":{"template":{"spec":{"containers":` + nginx + `}}}}`, want: []Use{use("DaemonSet", "x", "container web")}},
		"Job":                      {reason: "it may have ended", path: "/apis/batch/v1/jobs", object: `{` + meta + `,"spec":{"template":{"spec":{"containers":` + nginx + `}}}}`, want: []Use{use("Job", "x", "container web")}},
		"CronJob":                  {reason: "it may never have run", path: "/apis/batch/v1/cronjobs", object: `{` + meta + `,"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":` + nginx + `}}}}}}`, want: []Use{use("CronJob", "x", "container web")}},
		"ReplicationController":    {reason: "they still exist", path: "/api/v1/replicationcontrollers", object: `{` + meta + `,"spec":{"template":{"spec":{"containers":` + nginx + `}}}}`, want: []Use{use("ReplicationController", "x", "container web")}},
		"PodTemplate":              {reason: "others make pods of it", path: "/api/v1/podtemplates", object: `{` + meta + `,"template":{"spec":{"containers":` + nginx + `}}}`, want: []Use{use("PodTemplate", "x", "container web")}},
		"rollback of a set":        {reason: "kubectl rollout undo", path: "/apis/apps/v1/controllerrevisions", object: `{"metadata":{"namespace":"ran","name":"db-1"` + ownedBy("apps/v1", "StatefulSet", "db") + `},"revision":3,"data":{"spec":{"template":{"$patch":"replace","spec":{"containers":` + nginx + `}}}}}`, want: []Use{use("StatefulSet", "db", "container web, revision 3")}},
		"rollback":                 {reason: "a ReplicaSet with no pods", path: "/apis/apps/v1/replicasets", object: `{"metadata":{"namespace":"ran","name":"web-1","annotations":{"deployment.kubernetes.io/revision":"2"}` + ownedBy("apps/v1", "Deployment", "web") + `},"spec":{"replicas":0,"template":{"spec":{"containers":` + nginx + `}}}}`, want: []Use{use("Deployment", "web", "container web, revision 2")}},
		"foreign revision":         {reason: "a revision of another controller has data of another shape", path: "/apis/apps/v1/controllerrevisions", object: `{` + meta + `,"revision":3,"data":{"spec":"text"}}`},
		"revision that is a list":  {reason: "nobody can apply it", path: "/apis/apps/v1/controllerrevisions", object: `{` + meta + `,"data":[1]}`},
		"other images":             {reason: "they are not of the store", path: "/api/v1/pods", object: `{` + meta + `,"spec":{"containers":` + of("other.example/nginx:1") + `}}`},
		"being deleted":            {reason: "it still holds", path: "/api/v1/pods", object: `{"metadata":{"namespace":"ran","name":"x","deletionTimestamp":"2026-09-01T12:00:00Z"},"spec":{"containers":` + nginx + `}}`, want: []Use{{Holder: reference.Object{Kind: "Pod", Namespace: "ran", Name: "x"}, Terminating: true, Part: "container web", Repository: "acme/cnf/nginx", Tag: "1"}}},
		"static pod":               {reason: "a node can be asked for nothing", path: "/api/v1/pods", object: aPod("static", ownedBy("v1", "Node", "node-1")), want: []Use{use("Pod", "static", "container web")}},
		"owner of another group":   {reason: "it is named by its kind and group", path: "/api/v1/pods", object: aPod("kafka-0", ownedBy("kafka.strimzi.io/v1", "Kafka", "events")), want: []Use{use("Kafka.kafka.strimzi.io", "events", "container web")}},
		"owner that is not listed": {reason: "it is named by the reference", path: "/api/v1/pods", object: aPod("web-1-x", ownedBy("apps/v1", "ReplicaSet", "web-1")), want: []Use{use("ReplicaSet", "web-1", "container web")}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			a := &api{lists: map[string][]string{test.path: {test.object}}}
			got, err := a.reader(t).Read(t.Context(), aStore(v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers))
			if err != nil || got.Unreadable() != nil {
				t.Fatal(err, got.Unreadable())
			}
			if diff := cmp.Diff(test.want, got.uses["acme/cnf/nginx"]); diff != "" {
				t.Errorf("%s: %s", test.reason, diff)
			}
		})
	}
}

func TestI14TheTopOfAChainHolds(t *testing.T) {
	t.Parallel()
	ring := `{"metadata":{"namespace":"ran","name":%q,"uid":%q%s},"spec":{}}`
	a := &api{lists: map[string][]string{
		"/apis/batch/v1/cronjobs":   {`{"metadata":{"namespace":"ran","name":"nightly","uid":"uid-nightly"},"spec":{}}`},
		"/apis/batch/v1/jobs":       {fmt.Sprintf(ring, "nightly-1", "uid-nightly-1", ownedBy("batch/v1", "CronJob", "nightly"))},
		"/apis/apps/v1/deployments": {`{"metadata":{"namespace":"ran","name":"web","uid":"uid-web","deletionTimestamp":"2026-09-01T12:00:00Z"` + ownedBy("acme.example/v1", "Gateway", "edge") + `},"spec":{}}`},
		"/apis/apps/v1/replicasets": {fmt.Sprintf(ring, "web-1", "uid-web-1", ownedBy("apps/v1", "Deployment", "web")), fmt.Sprintf(ring, "a", "uid-a", ownedBy("apps/v1", "ReplicaSet", "b")), fmt.Sprintf(ring, "b", "uid-b", ownedBy("apps/v1", "ReplicaSet", "a"))},
		"/api/v1/pods":              {aPod("web-1-x", ownedBy("apps/v1", "ReplicaSet", "web-1")), aPod("web-1-y", ownedBy("apps/v1", "ReplicaSet", "web-1")), aPod("nightly-1-x", ownedBy("batch/v1", "Job", "nightly-1")), aPod("round", ownedBy("apps/v1", "ReplicaSet", "a"))},
	}}
	got, err := a.reader(t).Read(t.Context(), aStore(v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers))
	if err != nil {
		t.Fatal(err)
	}
	holders := map[string]bool{}
	for _, u := range got.Of("acme/cnf/nginx", "1") {
		holders[u.Holder.String()] = true
	}
	for _, want := range []string{"cronjobs/ran/nightly", "gateway.acme.example/ran/edge"} {
		if !holders[want] {
			t.Errorf("%s should hold; those that do: %v", want, holders)
		}
	}
	if len(holders) != 3 { // the third is one of the ring
		t.Errorf("3 should hold, not %v", holders)
	}
	if uses := got.Sources[0].Uses; uses != 3 {
		t.Errorf("pods of one owner count once: %d uses", uses)
	}
}

func TestI2WhatCannotBeRead(t *testing.T) {
	t.Parallel()
	pods := []string{aPod("a", ""), aPod("b", ""), aPod("c", ""), aPod("d", ""), aPod("e", "")}
	at := func(path, token string, do func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			hit := r.URL.Path == path && r.URL.Query().Get("continue") == token
			if hit {
				do(w)
			}
			return hit
		}
	}
	says := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = w.Write([]byte(text)) }
	}
	status := func(code int, reason string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { refuse(w, code, reason) }
	}
	tests := map[string]struct {
		reason string
		answer func(http.ResponseWriter, *http.Request) bool
		want   v1alpha1.WorkloadSourceState
		says   string
	}{
		"all is read":           {reason: "the case without a fault", answer: nil, want: v1alpha1.WorkloadsRead},
		"page 3 fails":          {reason: "what the others had is not all", answer: at("/api/v1/pods", "4", status(500, "InternalError")), want: v1alpha1.WorkloadsFailed, says: "listing pods"},
		"page 3 expires":        {reason: "the list is not whole", answer: at("/api/v1/pods", "4", status(410, "Expired")), want: v1alpha1.WorkloadsFailed},
		"cut off":               {reason: "the answer ends early", answer: at("/api/v1/pods", "2", says(`{"kind":"PodList","metadata":{},"items":[`+pods[2])), want: v1alpha1.WorkloadsFailed},
		"another kind":          {reason: "something else answers", answer: at("/api/v1/pods", "", says(`{"kind":"NodeList","metadata":{},"items":[]}`)), want: v1alpha1.WorkloadsFailed},
		"no list":               {reason: "something else answers", answer: at("/api/v1/pods", "", says(`<html>`)), want: v1alpha1.WorkloadsFailed},
		"no right":              {reason: "an administrator has not granted it", answer: at("/api/v1/pods", "", status(403, "Forbidden")), want: v1alpha1.WorkloadsDenied, says: "workloads.purgers"},
		"not served":            {reason: "a 404 of a kind that every cluster has", answer: at("/api/v1/pods", "", status(404, "NotFound")), want: v1alpha1.WorkloadsFailed},
		"a pod of another form": {reason: "it cannot be said what it names", answer: at("/api/v1/pods", "", says(`{"kind":"PodList","metadata":{},"items":[{"spec":{"containers":"none"}}]}`)), want: v1alpha1.WorkloadsFailed, says: "reading a Pod"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			a := &api{lists: map[string][]string{"/api/v1/pods": pods}, answer: test.answer}
			got, err := a.reader(t).Read(t.Context(), aStore(v1alpha1.WorkloadPods))
			if err != nil {
				t.Fatal(err)
			}
			s := got.Sources[0]
			if s.State != test.want || !strings.Contains(s.Message, test.says) {
				t.Errorf("%s: %s %q", test.reason, s.State, s.Message)
			}
			if unreadable := got.Unreadable() != nil; unreadable != (test.want != v1alpha1.WorkloadsRead) {
				t.Errorf("%s: unreadable is %v", test.reason, got.Unreadable())
			}
		})
	}
}

func TestOnlySelectedNamespacesAreRead(t *testing.T) {
	t.Parallel()
	a := &api{lists: map[string][]string{
		"/api/v1/namespaces":            {`{"metadata":{"name":"ran"}}`, `{"metadata":{"name":"core"}}`, `{"metadata":{"name":"edge"}}`},
		"/api/v1/namespaces/ran/pods":   {aPod("a", "")},
		"/api/v1/namespaces/edge/pods":  {aPod("b", "")},
		"/api/v1/namespaces/other/pods": {aPod("c", "")},
	}}
	s := aStore(v1alpha1.WorkloadPods)
	s.Spec.Workloads.NamespaceSelector = metav1.LabelSelector{MatchLabels: map[string]string{"acme": "yes"}}
	got, err := a.reader(t).Read(t.Context(), s)
	if err != nil || got.Unreadable() != nil {
		t.Fatal(err, got.Unreadable())
	}
	if n := len(got.Of("acme/cnf/nginx", "1")); n != 2 {
		t.Errorf("%d pods use it", n)
	}
	if s := got.Sources[0]; s.Objects != 2 {
		t.Errorf("read %d objects", s.Objects)
	}
}

// Pods reference images in the cluster's own registry by its address, by an alias, or by ClusterRegistryHost.
func TestI14AStoreInTheClustersRegistryIsNamedByItsAddress(t *testing.T) {
	t.Parallel()
	s := aStore(v1alpha1.WorkloadPods)
	s.Spec.Registry = v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: "acme"}}
	s.Status.URL = "https://registry.nfo-system.svc:5000/acme"
	s.Spec.Workloads.RegistryAliases = []string{"127.0.0.1:30500/acme"}
	at := selection(s)
	if at.invalid != nil {
		t.Fatal(at.invalid)
	}
	for _, image := range []string{"registry.nfo-system.svc:5000/acme/cnf/nginx:1", "127.0.0.1:30500/acme/cnf/nginx:1", v1alpha1.ClusterRegistryHost + "/acme/cnf/nginx:1"} {
		if got, ok := at.names.Find(image); !ok || got != (named.Name{Repository: "acme/cnf/nginx", Tag: "1"}) {
			t.Errorf("%s is %+v, %t", image, got, ok)
		}
	}
}

func TestI2ASelectionThatIsNotClearKeeps(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*v1alpha1.ArtifactStore){
		"selector": func(s *v1alpha1.ArtifactStore) {
			s.Spec.Workloads.NamespaceSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
		},
		"alias": func(s *v1alpha1.ArtifactStore) { s.Spec.Workloads.RegistryAliases = []string{"https://mirror.example"} },
		"URL":   func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.URL = "ftp://x" },
	}
	for title, edit := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := aStore(v1alpha1.WorkloadPods)
			edit(s)
			got, err := (&api{}).reader(t).Read(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if got.Unreadable() == nil || got.Sources[0].State != v1alpha1.WorkloadsFailed {
				t.Errorf("%+v", got.Sources)
			}
		})
	}
}

// A source that was read before and is not installed now may be about to be installed again.
func TestI2AbsenceOfAKindIsBelievedAfterADay(t *testing.T) {
	t.Parallel()
	before := func(state v1alpha1.WorkloadSourceState, ago time.Duration) *v1alpha1.WorkloadSourceStatus {
		return &v1alpha1.WorkloadSourceStatus{State: state, Since: metav1.NewTime(now.Add(-ago))}
	}
	tests := map[string]struct {
		reason string
		before *v1alpha1.WorkloadSourceStatus
		want   bool
	}{
		"never read":    {reason: "nothing says that it was ever there", want: true},
		"absent before": {reason: "it is as it was", before: before(v1alpha1.WorkloadsNotInstalled, time.Minute), want: true},
		"read before":   {reason: "it was there a moment ago", before: before(v1alpha1.WorkloadsRead, 100*time.Hour)},
		"denied before": {reason: "it was there, and could not be read", before: before(v1alpha1.WorkloadsDenied, 100*time.Hour)},
		"gone for long": {reason: "a day has passed", before: before(v1alpha1.WorkloadsFailed, 25*time.Hour), want: true},
		"gone just now": {reason: "a day has not passed", before: before(v1alpha1.WorkloadsFailed, 23*time.Hour)},
	}
	r := &Reader{now: func() time.Time { return now }}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if got := r.believed(test.before); got != test.want {
				t.Errorf("%s: %v", test.reason, got)
			}
		})
	}
}
