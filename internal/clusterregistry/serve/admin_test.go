package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/reference"
)

// slowly is a view of a volume that stops the first collection in its mark until mayGoOn is closed.
type slowly struct {
	once           sync.Once
	begun, mayGoOn chan struct{}
	ended          <-chan struct{}
}

func newSlowly(t *testing.T) (s *slowly, options serve.Options) {
	s = &slowly{begun: make(chan struct{}), mayGoOn: make(chan struct{}), ended: t.Context().Done()}
	v, err := volume.Open(t.TempDir(), volume.Options{View: s})
	check(t, err)
	return s, serve.Options{Volume: v, Collection: collect.Options{Dwell: time.Millisecond}}
}

func (*slowly) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (s *slowly) ReadDir(name string) ([]fs.DirEntry, error) {
	if strings.HasSuffix(name, layout.Repositories) {
		s.once.Do(func() {
			close(s.begun)
			select {
			case <-s.mayGoOn:
			case <-s.ended:
			}
		})
	}
	return os.ReadDir(name)
}

func (s site) state(method, query string) serve.State {
	s.t.Helper()
	res, text := s.ask(method, "/nfo/v1/collection"+query, nil, "")
	var state serve.State
	if err := json.Unmarshal([]byte(text), &state); err != nil || res.StatusCode > 299 {
		s.t.Fatal(res.Status, text, err)
	}
	return state
}

// A request during a running collection needs another one, because the running
// one has marked already. All such requests must share one collection.
func TestCollectionsThatWaitAreOne(t *testing.T) {
	slow, options := newSlowly(t)
	s := start(t, "", options)
	if got := s.state(http.MethodPost, "").Requested; got != 1 {
		t.Fatalf("the first is number %d", got)
	}
	<-slow.begun
	for i := range int64(5) {
		query := ""
		if i > 0 {
			query = "?dryRun=true" // does less than the waiting request, so that one collection serves both
		}
		if got := s.state(http.MethodPost, query); got.Requested != 2+i || got.Done != 0 || !got.Running {
			t.Fatalf("asked while one runs: %+v", got)
		}
	}
	close(slow.mayGoOn)
	var got serve.State
	for got.Done < 6 {
		if got = s.state(http.MethodGet, ""); got.Done > 1 && got.Done < 6 {
			t.Fatalf("%d have been done, want 1 or all: those that waited are one", got.Done)
		}
	}
	if got.Requested != 6 || got.Last.DryRun || got.Running {
		t.Errorf("%+v", got)
	}
	if dry := s.state(http.MethodPost, "?dryRun=true"); dry.Requested != 7 {
		t.Errorf("%+v", dry)
	}
	for got.Done < 7 {
		got = s.state(http.MethodGet, "")
	}
	if !got.Last.DryRun {
		t.Error("a dry run that is asked for alone is not one")
	}
}

// The number of a request must be reached even if the state file is lost meanwhile.
func TestTheNumberOfACollectionIsKept(t *testing.T) {
	slow, options := newSlowly(t)
	s := start(t, "", options)
	s.state(http.MethodPost, "")
	<-slow.begun
	s.state(http.MethodPost, "")
	asked := s.state(http.MethodPost, "")
	check(t, os.Remove(s.volume.Root()+"/.nfo/collection.json"))
	close(slow.mayGoOn)
	for end := time.Now().Add(10 * time.Second); s.state(http.MethodGet, "").Done < asked.Requested; {
		if time.Now().After(end) {
			t.Fatalf("number %d is never done: %+v", asked.Requested, s.state(http.MethodGet, ""))
		}
	}
}

// lowerCamel matches the names of JSON fields.
var lowerCamel = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)

// Purges of other versions of nfo read these answers, so the names must not change.
func TestTheAnswersHaveStableNames(t *testing.T) {
	t.Parallel()
	var names func(of reflect.Type, at string)
	names = func(of reflect.Type, at string) {
		for of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !lowerCamel.MatchString(name) {
				t.Errorf("%s.%s is called %q in JSON", at, f.Name, name)
			}
			names(f.Type, at+"."+f.Name)
		}
	}
	names(reflect.TypeFor[serve.State](), "State")
	names(reflect.TypeFor[serve.Usage](), "Usage")
	names(reflect.TypeFor[serve.UnreferencedPage](), "UnreferencedPage")
	names(reflect.TypeFor[mark.Revision](), "Revision")
	got, err := json.Marshal(serve.State{Requested: 3, Done: 2, Progress: &collect.Progress{Phase: collect.Deleting, Done: 4}, Last: &collect.Report{Deleted: collect.Counts{Bytes: 5, UploadBytes: 6}}})
	check(t, err)
	for _, part := range []string{`"requested":3`, `"done":2`, `"progress":{"phase":"deleting","done":4}`, `"deleted":{"repositories":0,`, `"bytes":5,"uploadBytes":6}`, `"running":false`} {
		if !bytes.Contains(got, []byte(part)) {
			t.Errorf("%s is not in %s", part, got)
		}
	}
}

// newAccess knows users by their tokens: the operator, and the purge of store acme/acme.
func newAccess(t *testing.T) *access.Controller {
	t.Helper()
	scheme, err := reference.NewScheme()
	check(t, err)
	store := &v1alpha1.ArtifactStore{}
	store.Namespace, store.Name, store.Spec.Registry.ClusterRegistry = "acme", "acme", &v1alpha1.ClusterRegistrySpec{}
	store.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(store).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			switch o := o.(type) {
			case *authenticationv1.TokenReview:
				o.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{access.Audience}, User: authenticationv1.UserInfo{Username: o.Spec.Token}}
			case *authorizationv1.SubjectAccessReview:
				o.Status.Allowed = o.Spec.User == "purge" && o.Spec.ResourceAttributes.Verb == "purge" && o.Spec.ResourceAttributes.Name == "acme"
			}
			return nil
		},
	}).Build()
	return access.New(access.Options{Reviews: api, Objects: api, Operators: []string{"operator"}})
}

func TestWhoMayAskTheRegistry(t *testing.T) {
	root := t.TempDir()
	s := start(t, root, serve.Options{Access: newAccess(t), Collection: collect.Options{Dwell: time.Millisecond}})
	// A repository of another store that cannot be understood. Only the operator may see its name in the report.
	folder := root + "/docker/registry/v2/repositories/secret/_manifests/tags/1/current"
	check(t, os.MkdirAll(folder, 0o700))
	check(t, os.WriteFile(folder+"/link", []byte(digest.FromString("missing").String()), 0o600))
	as := func(user, method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, http.NoBody)
		check(t, err)
		req.SetBasicAuth("nfo", user)
		res, err := http.DefaultClient.Do(req)
		check(t, err)
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		check(t, err)
		return res.StatusCode, string(text)
	}
	if status, text := as("purge", http.MethodPost, "/nfo/v1/collection?store=acme/acme"); status != http.StatusAccepted {
		t.Fatal(status, text)
	}
	var state serve.State
	for state.Done == 0 {
		_, text := as("operator", http.MethodGet, "/nfo/v1/collection")
		check(t, json.Unmarshal([]byte(text), &state))
	}
	for _, tc := range []struct {
		reason, user, method, path string
		status                     int
		says                       string
		names                      bool
	}{
		{"the operator knows all", "operator", http.MethodGet, "collection", 200, `"notUnderstoodCount":1`, true},
		{"a purge knows how many", "purge", http.MethodGet, "collection?store=acme/acme", 200, `"notUnderstoodCount":1`, false},
		{"and how full it is", "purge", http.MethodGet, "usage?store=acme/acme", 200, `"size":`, false},
		{"also when it asks for another one", "purge", http.MethodPost, "collection?store=acme/acme", 202, `"requested":2`, false},
		{"it must say for which store", "purge", http.MethodGet, "usage", 403, "?store=NAMESPACE/NAME", false},
		{"others may not look", "ci", http.MethodGet, "usage?store=acme/acme", 403, `the verb \"purge\" on artifactstores/acme/acme`, false},
		{"nor collect", "ci", http.MethodPost, "collection?store=acme/acme", 403, `the verb \"purge\"`, false},
	} {
		status, text := as(tc.user, tc.method, "/nfo/v1/"+tc.path)
		if status != tc.status || !strings.Contains(text, tc.says) || strings.Contains(text, "secret") != tc.names {
			t.Errorf("%s: %d %s, want %d with %q; names of repositories: %t", tc.reason, status, text, tc.status, tc.says, tc.names)
		}
	}
}
