package livelist

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// script is an API server that answers lists with the given answers, the last of
// them repeatedly, and watches with the given events. The watches then stay open.
type script struct {
	lists  []string
	events string

	mu      sync.Mutex
	watched []string // resource versions at which watches began
	listed  int
	// large is the number of lists without a limit, and elsewhere the number of lists of other namespaces.
	large, elsewhere int
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") == "true" {
		s.mu.Lock()
		s.watched = append(s.watched, r.URL.Query().Get("resourceVersion")+r.URL.Query().Get("sendInitialEvents"))
		s.mu.Unlock()
		_, _ = fmt.Fprint(w, s.events)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Query().Get("limit") != "500" || r.URL.Query().Has("resourceVersion") {
		s.large++
	}
	if !strings.Contains(r.URL.Path, "/namespaces/ns/") {
		s.elsewhere++
	}
	answer := s.lists[min(s.listed, len(s.lists)-1)]
	s.listed++
	if strings.Contains(answer, `"code":410`) {
		w.WriteHeader(http.StatusGone)
	}
	_, _ = fmt.Fprint(w, answer)
}

// happens returns an event of a watch.
func happens(what, name string) string {
	return fmt.Sprintf(`{"type":%q,"object":%s}`, what, strings.Replace(item(name), `"metadata":{`, `"apiVersion":"nfo.dev/v1alpha1","metadata":{"resourceVersion":"8",`, 1))
}

// filled returns a cache of stores that fills from a script.
func filled(t *testing.T, s *script) cache.Cache {
	t.Helper()
	api := httptest.NewServer(s)
	t.Cleanup(api.Close)
	t.Cleanup(api.CloseClientConnections)
	scheme := kruntime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{v1alpha1.KindArtifactStore, v1alpha1.KindArtifactStore + "List"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	kube := &rest.Config{Host: api.URL, QPS: -1}
	lists, err := New(nil, kube, api.Client(), scheme, mapper, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.New(kube, cache.Options{Scheme: scheme, Mapper: mapper, HTTPClient: api.Client(), NewInformer: lists.Informers("ns"), DefaultNamespaces: map[string]cache.Config{"ns": {}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetInformer(t.Context(), &v1alpha1.ArtifactStore{}, cache.BlockUntilSynced(false)); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.Start(t.Context()) }() // ends with the test
	return c
}

func names(t *testing.T, c cache.Cache) []string {
	t.Helper()
	var all v1alpha1.ArtifactStoreList
	if err := c.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, s := range all.Items {
		found = append(found, s.Name+s.Labels["a"])
	}
	slices.Sort(found)
	return found
}

// A cache has all pages of a list or is not filled (I2), and then gets the events after the list.
func TestI2ACacheFillsFromWholeLists(t *testing.T) {
	t.Parallel()
	first, last := page("more", item("a"), item("b")), page("", item("c"))
	for name, tc := range map[string]struct {
		reason string
		lists  []string
		asked  int
	}{
		"OnePage":   {"it has no other one", []string{page("", item("a"), item("b"), item("c"))}, 1},
		"Pages":     {"one after the other", []string{first, last}, 2},
		"Truncated": {"the connection broke", []string{first, last[:len(last)-5], first, last}, 4},
		"Expired":   {"the list was read too slowly", []string{first, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`, first, last}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{lists: tc.lists, events: happens("DELETED", "b") + happens("ADDED", "d")}
			c := filled(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if !c.WaitForCacheSync(ctx) {
				t.Fatalf("%s: the cache has not filled", tc.reason)
			}
			want := []string{"ab", "cb", "db"}
			err := wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(context.Context) (bool, error) {
				found := names(t, c)
				if !slices.Contains(found, "cb") {
					t.Fatalf("%s: the cache was filled with %v", tc.reason, found)
				}
				return slices.Equal(found, want), nil
			})
			if err != nil {
				t.Errorf("%s: %v, want %v", tc.reason, names(t, c), want)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if diff := cmp.Diff([]string{"7"}, s.watched); diff != "" || s.listed != tc.asked || s.large+s.elsewhere > 0 {
				t.Errorf("%s: %d lists, %d of them without a bound and %d of other namespaces, want %d; watches: -want +got\n%s", tc.reason, s.listed, s.large, s.elsewhere, tc.asked, diff)
			}
		})
	}
}
