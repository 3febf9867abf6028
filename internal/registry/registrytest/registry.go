package registrytest

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"golang.org/x/crypto/bcrypt"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

type settings struct {
	dir                      string
	deleteDisabled, readOnly bool
	tls, own                 bool
	maxTags                  int
	auth                     configuration.Auth
	around                   func(http.Handler) http.Handler
	tokens                   *TokenServer
}

// Option is an option of Start.
type Option func(t testing.TB, s *settings)

// InDir serves from a directory, which may have the content of another registry. Default: a new directory.
func InDir(dir string) Option { return func(_ testing.TB, s *settings) { s.dir = dir } }

// DeleteDisabled answers 405 UNSUPPORTED to every DELETE, which is distribution's default.
func DeleteDisabled() Option { return func(_ testing.TB, s *settings) { s.deleteDisabled = true } }

// ReadOnly turns on the maintenance mode, which answers a bare 405 to every write.
func ReadOnly() Option { return func(_ testing.TB, s *settings) { s.readOnly = true } }

// TLS serves https with a self-signed certificate; see Registry.CA.
func TLS() Option { return func(_ testing.TB, s *settings) { s.tls = true } }

// Own uses the storage driver of `nfo registry` instead of distribution's driver and cache.
func Own() Option { return func(_ testing.TB, s *settings) { s.own = true } }

// MaxTags bounds the pages of tag lists and of ServeACR, even if a request asks for longer ones.
func MaxTags(n int) Option { return func(_ testing.TB, s *settings) { s.maxTags = n } }

// BasicAuth requires the login of one user, who is in an htpasswd file.
func BasicAuth(user, password string) Option {
	return func(t testing.TB, s *settings) {
		t.Helper()
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatalf("hashing a password: %v", err)
		}
		path := filepath.Join(t.TempDir(), "htpasswd")
		if err := os.WriteFile(path, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
			t.Fatalf("writing the users: %v", err)
		}
		s.auth = configuration.Auth{"htpasswd": {"realm": "test", "path": path}}
	}
}

// Access uses an access controller. around may wrap the registry to change answers.
func Access(auth configuration.Auth, around func(http.Handler) http.Handler) Option {
	return func(_ testing.TB, s *settings) { s.auth, s.around = auth, around }
}

// Registry is a running registry.
type Registry struct {
	// Host is the address and port.
	Host string
	// CA is the PEM certificate by which clients verify a registry with TLS.
	CA []byte
	// Tokens is the token server of BearerAuth, or nil.
	Tokens *TokenServer
	// App is the registry itself, without the recording and the faults.
	App http.Handler

	scheme  string
	dir     string
	maxTags int
	acr     *acr

	mu        sync.Mutex
	requests  []*http.Request
	intercept func(http.ResponseWriter, *http.Request) bool
	down      bool
}

// Start starts a registry that is stopped when the test ends.
func Start(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	s := settings{maxTags: 1000}
	for _, opt := range opts {
		opt(t, &s)
	}
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	app, err := newApp(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if s.around != nil {
		app = s.around(app)
	}
	return serve(t, app, s)
}

// serve starts a server in front of a registry, which records requests and simulates faults.
func serve(t testing.TB, app http.Handler, s settings) *Registry {
	t.Helper()
	r := &Registry{App: app, Tokens: s.tokens, scheme: "http", dir: s.dir, maxTags: s.maxTags}
	server := httptest.NewUnstartedServer(r)
	if s.tls {
		server.EnableHTTP2 = true
		server.StartTLS()
		r.scheme = "https"
		r.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	r.Host = server.Listener.Addr().String()
	return r
}

// URL returns the URL of a store at a prefix; "" for the whole registry.
func (r *Registry) URL(prefix string) string {
	return strings.TrimSuffix(r.scheme+"://"+r.Host+"/"+prefix, "/")
}

// Location returns the URL as a location.
func (r *Registry) Location(prefix string) v1alpha1.RegistryLocation {
	return v1alpha1.RegistryLocation{PlainHTTP: r.scheme == "http", Host: r.Host, Prefix: strings.Trim(prefix, "/")}
}

// ServeHTTP records the request, applies the faults, or has the registry answer.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	record := req.Clone(req.Context())
	record.Body = http.NoBody
	r.requests = append(r.requests, record)
	down, intercept := r.down, r.intercept
	r.mu.Unlock()
	switch {
	case down:
		panic(http.ErrAbortHandler) // the connection breaks
	case intercept != nil && intercept(w, req):
	default:
		r.answer(w, req)
	}
}

// answer answers a request without faults.
func (r *Registry) answer(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	app := r.App
	if r.acr != nil {
		app = r.acr
	}
	r.mu.Unlock()
	app.ServeHTTP(w, req)
}

// Requests returns the requests so far, in order, without bodies.
func (r *Registry) Requests() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*http.Request(nil), r.requests...)
}

// Count returns the number of recorded requests that match; nil matches all.
func (r *Registry) Count(match func(*http.Request) bool) int {
	n := 0
	for _, req := range r.Requests() {
		if match == nil || match(req) {
			n++
		}
	}
	return n
}

// Writes returns the number of recorded requests that were not GET or HEAD.
func (r *Registry) Writes() int {
	return r.Count(func(req *http.Request) bool { return req.Method != http.MethodGet && req.Method != http.MethodHead })
}

// Forget deletes the recorded requests.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// Intercept calls f with every request first; f returns true if it has answered the request. nil ends this.
func (r *Registry) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.intercept = f
}

// Down breaks every connection until Up.
func (r *Registry) Down() { r.setDown(true) }

// Up ends the effect of Down.
func (r *Registry) Up() { r.setDown(false) }

func (r *Registry) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}
