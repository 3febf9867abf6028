package recovery

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// liar is between the product and the API server. While it lies, it answers lists of one resource wrongly.
type liar struct {
	resource string
	lie      func(l *liar, next http.RoundTripper, req *http.Request) (*http.Response, error)

	mu    sync.Mutex
	until time.Time
	// early is a resourceVersion from before anything was released or used.
	early string
	lied  int
}

// apiLies has the wrong answers by name.
var apiLies = map[string]func(*liar, http.RoundTripper, *http.Request) (*http.Response, error){
	"empty": func(_ *liar, next http.RoundTripper, req *http.Request) (*http.Response, error) {
		again := req.Clone(req.Context())
		q := again.URL.Query()
		q.Set("labelSelector", "nobody=has-this")
		again.URL.RawQuery = q.Encode()
		return next.RoundTrip(again)
	},
	"stale": func(l *liar, next http.RoundTripper, req *http.Request) (*http.Response, error) {
		again := req.Clone(req.Context())
		q := again.URL.Query()
		q.Set("resourceVersion", l.early)
		q.Set("resourceVersionMatch", "Exact")
		again.URL.RawQuery = q.Encode()
		return next.RoundTrip(again)
	},
	"forbidden": func(_ *liar, _ http.RoundTripper, req *http.Request) (*http.Response, error) {
		return answer(req, http.StatusForbidden, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"forbidden"}`), nil
	},
	"no such kind": func(_ *liar, _ http.RoundTripper, req *http.Request) (*http.Response, error) {
		return answer(req, http.StatusNotFound, "text/plain; charset=utf-8", "404 page not found\n"), nil
	},
}

func answer(req *http.Request, code int, mediaType, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: fmt.Sprintf("%d %s", code, http.StatusText(code)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {mediaType}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }

// between returns a transport that the liar controls.
func (l *liar) between(next http.RoundTripper) http.RoundTripper {
	return transport(func(req *http.Request) (*http.Response, error) {
		collection := req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/"+l.resource)
		if !collection || !l.lies() {
			return next.RoundTrip(req)
		}
		if req.URL.Query().Get("watch") != "" {
			// Refuse streaming lists, so that clients list.
			return answer(req, http.StatusMethodNotAllowed, "text/plain", "no watches now"), nil
		}
		return l.lie(l, next, req)
	})
}

func (l *liar) lies() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().After(l.until) {
		return false
	}
	l.lied++
	return true
}

// answered returns how often the liar has lied.
func (l *liar) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lied
}

func (l *liar) begin(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(d)
}

// Lists that are empty, stale, forbidden or of an unknown kind must not lose anything:
// while manifests are deleted and restored, while a purge runs, and while a manager starts.
func TestI2ListsThatLie(t *testing.T) {
	for _, kind := range v1alpha1.Kinds() {
		for name, lie := range apiLies {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				l := &liar{resource: v1alpha1.Resource(kind), lie: lie}
				through := func(o *environment.ManagerOptions) { o.API = l.between }
				m := s.manage(through)
				p := newPublisher(s, func() { l.early = s.version() })
				l.begin(8 * time.Second)
				p.delete(p.manifest("held"), p.manifest("free"))
				p.create(p.manifest("gone"))
				if _, err := p.purge(l.between); err != nil {
					t.Logf("the purge gave way: %v", err)
				}
				p.nothingIsLost()
				<-time.After(2 * time.Second)
				m.Stop()
				before := l.answered()
				l.begin(8 * time.Second) // the first lies may end before the next manager starts
				s.manage(through)
				<-time.After(2 * time.Second)
				if _, err := p.purge(l.between); err != nil {
					t.Logf("the purge gave way: %v", err)
				}
				if l.answered() == before {
					t.Error("the second manager was not lied to")
				}
				p.lifeGoesOn()
			})
		}
	}
}

// version returns the API server's current resourceVersion.
func (s *scene) version() string {
	s.t.Helper()
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, GenerateName: "now-"}}
	if err := env.Client.Create(s.t.Context(), o, &client.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	return o.ResourceVersion
}
