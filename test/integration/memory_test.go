package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
)

// memoryScene compares lists of tombstones through a Memory with lists through a client that remembers nothing.
type memoryScene struct {
	*testing.T
	namespace     string
	memory        *livelist.Memory
	plain         *livelist.Client
	whole, single atomic.Int64 // requests of the Memory that listed whole objects, and that read one object
	meanwhile     func()       // is called after the next answer to a list of versions
}

func newMemoryScene(t *testing.T) *memoryScene {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "memory-"}}
	s := &memoryScene{T: t}
	s.must(env.Client.Create(t.Context(), ns))
	s.namespace = ns.Name
	counted := rest.CopyConfig(env.Admin)
	counted.Wrap(s.count)
	s.plain, s.memory = s.client(env.Admin), livelist.NewMemory(s.client(counted))
	return s
}

func (s *memoryScene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *memoryScene) client(kube *rest.Config) *livelist.Client {
	s.Helper()
	api, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	s.must(err)
	lists, err := livelist.NewClient(api, kube, nil)
	s.must(err)
	return lists
}

func (s *memoryScene) count(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		switch {
		case r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/tombstones"):
		case !strings.HasSuffix(r.URL.Path, "/tombstones"):
			s.single.Add(1)
		case !strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList"):
			s.whole.Add(1)
		case s.meanwhile != nil:
			act := s.meanwhile
			s.meanwhile = nil
			act()
		}
		return answer, err
	})
}

func (s *memoryScene) create(name string) {
	s.Helper()
	t := &v1alpha1.Tombstone{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	t.Spec.RegistryURL, t.Spec.Cause, t.Spec.Manifest.Name, t.Spec.Manifest.UID = "https://registry.example.com", v1alpha1.CauseReleased, "m", "m"
	t.Spec.Manifest.Spec.ArtifactStoreRef.Name = "acme"
	t.Spec.Artifacts = []v1alpha1.TombstoneArtifact{{Repository: "acme/m/a", Tag: name, Digests: []string{"sha256:" + strings.Repeat("ab", 32)}}}
	s.must(s.plain.Create(s.Context(), t))
}

// change writes the status of a tombstone through a client.
func (s *memoryScene) change(through client.Client, name, reason string) {
	s.Helper()
	var t v1alpha1.Tombstone
	s.must(s.plain.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, &t))
	t.Status.Artifacts = []v1alpha1.TombstoneArtifactStatus{{Repository: "acme/m/a", Tag: name, State: v1alpha1.TombstoneUntagged, Reason: reason}}
	s.must(through.Status().Update(s.Context(), &t))
	t.Status.Artifacts[0].Reason = "changed after the write, which no list may show"
}

func (s *memoryScene) remove(name string) {
	s.Helper()
	s.must(s.plain.Delete(s.Context(), &v1alpha1.Tombstone{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}))
}

func (s *memoryScene) list(through client.Reader) []v1alpha1.Tombstone {
	s.Helper()
	var all v1alpha1.TombstoneList
	s.must(through.List(s.Context(), &all, client.InNamespace(s.namespace), client.Limit(2)))
	if all.Continue != "" {
		for all.Continue != "" {
			var more v1alpha1.TombstoneList
			s.must(through.List(s.Context(), &more, client.InNamespace(s.namespace), client.Limit(2), client.Continue(all.Continue)))
			all.Items, all.Continue = append(all.Items, more.Items...), more.Continue
		}
	}
	return all.Items
}

// same fails unless both clients list the same objects, and unless the Memory has read as many objects as given.
func (s *memoryScene) same(what string, whole, single int64) {
	s.Helper()
	s.whole.Store(0)
	s.single.Store(0)
	got := s.list(s.memory)
	if w, o := s.whole.Load(), s.single.Load(); w != whole || o != single {
		s.Errorf("%s: %d lists of whole objects and %d reads of one, want %d and %d", what, w, o, whole, single)
	}
	if diff := cmp.Diff(s.list(s.plain), got, cmpopts.IgnoreFields(metav1.TypeMeta{}, "Kind", "APIVersion")); diff != "" {
		s.Errorf("%s: -want +got\n%s", what, diff)
	}
}

// I2: a list through a Memory equals any other list, also after writes of others, and reads only objects that have changed.
func TestI2RememberedListsAreWhole(t *testing.T) {
	t.Parallel()
	s := newMemoryScene(t)
	s.same("nothing exists", 1, 0)
	for i := range 5 {
		s.create(fmt.Sprint("t", i))
	}
	s.same("nothing is known", 1, 0)
	s.same("nothing has changed", 0, 0)
	s.change(s.plain, "t1", "of another writer")
	s.same("one has changed", 0, 1)
	s.change(s.memory, "t2", "of the Memory's own user")
	s.same("the own write is known", 0, 0)
	s.remove("t3")
	s.same("one is gone", 0, 0)
	s.remove("t4")
	s.create("t4")
	s.create("t5")
	s.same("one was made anew under its name, and one is new", 0, 2)
	s.change(s.plain, "t0", "before")
	s.meanwhile = func() {
		s.change(s.plain, "t0", "after the versions were listed")
		s.create("t6")
		s.remove("t1")
	}
	s.same("objects change while they are read", 0, 2) // t0, and t6 in the second list of versions
}

// I2: no list shows what its reader has done to the objects of an earlier one, as far as it replaces fields.
func TestI2RememberedObjectsStay(t *testing.T) {
	t.Parallel()
	s := newMemoryScene(t)
	s.create("a")
	s.change(s.plain, "a", "stored")
	for range 2 {
		got := s.list(s.memory)
		got[0].Status, got[0].Spec.Artifacts, got[0].ResourceVersion = v1alpha1.TombstoneStatus{}, nil, ""
		s.same("after a change in memory", 0, 0)
	}
}

// I2: in any order of writes of two writers, lists are the same.
func TestI2RememberedListsInAnyOrder(t *testing.T) {
	t.Parallel()
	s := newMemoryScene(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	var names []string
	for step := range 60 {
		switch n := random.IntN(10); {
		case n < 3 || len(names) == 0:
			names = append(names, fmt.Sprint("t", step))
			s.create(names[len(names)-1])
		case n < 5:
			i := random.IntN(len(names))
			s.remove(names[i])
			names = slices.Delete(names, i, i+1)
		case n < 8:
			s.change(s.plain, names[random.IntN(len(names))], fmt.Sprint(step))
		default:
			s.change(s.memory, names[random.IntN(len(names))], fmt.Sprint(step))
		}
		if random.IntN(3) == 0 {
			if diff := cmp.Diff(s.list(s.plain), s.list(s.memory), cmpopts.IgnoreFields(metav1.TypeMeta{}, "Kind", "APIVersion")); diff != "" {
				t.Fatalf("step %d: -want +got\n%s", step, diff)
			}
		}
	}
}

// I2: if the versions cannot be listed, or are not a whole list, the list is an error.
func TestI2RememberedListsFail(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"Unavailable": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"NotWhole": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":[`)
		},
		"NoVersion": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":[{"metadata":{"name":"a","uid":"u"}}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newMemoryScene(t)
			s.create("a")
			kube := rest.CopyConfig(env.Admin)
			versions := func(r *http.Request) bool {
				return strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList")
			}
			kube.Wrap(transport.WrapperFunc(instead(versions, answer)))
			memory := livelist.NewMemory(s.client(kube))
			s.list(memory)
			var all v1alpha1.TombstoneList
			if err := memory.List(context.WithoutCancel(t.Context()), &all, client.InNamespace(s.namespace)); err == nil {
				t.Errorf("no error, and %d items", len(all.Items))
			}
		})
	}
}
