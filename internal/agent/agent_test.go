package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func head(r *http.Request) { r.Method = http.MethodHead }

// What the mirror has is served from it for every form of request that a runtime sends, and the origin gets no request.
func TestMirrored(t *testing.T) {
	t.Parallel()
	s := aScene(t, nil)
	d := s.mirror(t, "acme/upf", "a")
	manifest := s.get(t, s.path("acme/upf", "manifests/1"))
	blob := layer(t, manifest.body)
	ranged := func(r *http.Request) { r.Header.Set("Range", "bytes=2-") }
	for _, tt := range []struct {
		reason, path string
		change       func(*http.Request)
		status       int
		digest       string
	}{
		{"the base", "/v2/", nil, 200, ""},
		{"a tag", s.path("acme/upf", "manifests/1"), nil, 200, d.Digest.String()},
		{"a tag, headers only", s.path("acme/upf", "manifests/1"), head, 200, d.Digest.String()},
		{"a digest", s.path("acme/upf", "manifests/"+d.Digest.String()), nil, 200, d.Digest.String()},
		{"a blob", s.path("acme/upf", "blobs/"+blob), nil, 200, blob},
		{"the rest of a blob", s.path("acme/upf", "blobs/"+blob), ranged, 206, blob},
		{"containerd asks a mirror", "/v2/acme/upf/manifests/1?ns=" + s.origin.Host, nil, 200, d.Digest.String()},
		{"containerd asks a mirror with a path", s.path("acme/upf", "manifests/1") + "?ns=" + s.origin.Host, nil, 200, d.Digest.String()},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			got := s.get(t, tt.path, func(r *http.Request) {
				r.Host = "elsewhere.example"
				if tt.change != nil {
					tt.change(r)
				}
			})
			if got.status != tt.status || got.err != nil || tt.digest != "" && got.header.Get("Docker-Content-Digest") != tt.digest {
				t.Errorf("%d %v %s %v", got.status, got.header, got.body, got.err)
			}
			if tt.status == 200 && tt.change == nil && tt.digest != "" && digest.FromString(got.body).String() != tt.digest {
				t.Errorf("it is damaged: %s", got.body)
			}
		})
	}
	if n := len(s.origin.Requests()); n != 0 {
		t.Errorf("the origin was asked %d times", n)
	}
	if s.counted(sourceRegistry) != 8 || s.counted(sourceOrigin)+s.counted(sourceMissing)+s.counted(sourceFailed) != 0 {
		t.Errorf("it counts %d from the registry", s.counted(sourceRegistry))
	}
	for _, r := range s.replicas {
		for _, req := range r.Requests() {
			if req.Host != serverName || !strings.HasPrefix(req.URL.Path, "/v2/mirror.nfo.dev/") {
				t.Errorf("a replica was asked for %s%s", req.Host, req.URL.Path)
			}
		}
	}
}

// R5: whatever fault the registry that nfo ships has, an image that can be pulled from the origin is served.
func TestR5OriginServes(t *testing.T) {
	t.Parallel()
	answers := func(status int) func(*scene) {
		return func(s *scene) {
			for _, r := range s.replicas {
				r.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Www-Authenticate", `Basic realm="registry"`)
					w.Header().Set("Location", "http://"+s.origin.Host)
					w.WriteHeader(status)
					return true
				})
			}
		}
	}
	for _, tt := range []struct {
		reason string
		change func(*scene, *Options)
		harm   func(*scene)
	}{
		{"it does not have the image", nil, nil},
		{"all replicas are down", nil, func(s *scene) { s.replicas[0].Down(); s.replicas[1].Down() }},
		{"it does not accept the certificate", nil, answers(401)},
		{"it forbids it", nil, answers(403)},
		{"it is overloaded", nil, answers(429)},
		{"it cannot read its volume", nil, answers(500)},
		{"it sends us elsewhere", nil, answers(307)},
		{"its answers have nothing in them", nil, answers(200)},
		{"it hangs", func(_ *scene, o *Options) { o.FirstByte = time.Second }, func(s *scene) {
			for _, r := range s.replicas {
				r.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
					<-req.Context().Done()
					return true
				})
			}
		}},
		{"it has no address", func(_ *scene, o *Options) {
			o.Replicas = func(context.Context) ([]string, error) { return nil, errors.New("no such host") }
		}, nil},
		{"it has no replica that is ready", func(_ *scene, o *Options) {
			o.Replicas = func(context.Context) ([]string, error) { return nil, nil }
		}, nil},
		{"its certificate is for another name", func(_ *scene, o *Options) { o.ServerName = "nfo-registry.nfo-system.svc" }, nil},
		{"its authority is not known yet", func(_ *scene, o *Options) { o.Files.Authorities += ".missing" }, nil},
		{"the client certificate is not there yet", func(_ *scene, o *Options) { o.Files.Key += ".missing" }, nil},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			s := aScene(t, tt.change)
			d := push(t, s.origin.Host, "acme/upf", "a")
			if tt.harm != nil {
				tt.harm(s)
			}
			got := s.get(t, s.path("acme/upf", "manifests/1"))
			if got.status != 200 || digest.FromString(got.body) != d.Digest {
				t.Fatalf("%d %s %v", got.status, got.body, got.err)
			}
			blob := layer(t, got.body)
			if got = s.get(t, s.path("acme/upf", "blobs/"+blob)); got.status != 200 || digest.FromString(got.body).String() != blob {
				t.Errorf("%d %s %v", got.status, got.body, got.err)
			}
			if s.counted(sourceOrigin) != 2 {
				t.Errorf("it counts %d from the origin", s.counted(sourceOrigin))
			}
		})
	}
}

// A replica that has died delays only one request within a period, and later requests not at all.
func TestDeadReplica(t *testing.T) {
	t.Parallel()
	s := aScene(t, nil)
	s.mirror(t, "acme/upf", "a")
	s.replicas[0].Down()
	for range 10 {
		if got := s.get(t, s.path("acme/upf", "manifests/1")); got.status != 200 {
			t.Fatalf("%d %s %v", got.status, got.body, got.err)
		}
	}
	if n := len(s.replicas[0].Requests()); n > 1 {
		t.Errorf("the dead replica was asked %d times", n)
	}
	if s.counted(sourceRegistry) != 10 || len(s.origin.Requests()) > 0 {
		t.Errorf("%d from the registry", s.counted(sourceRegistry))
	}
}

// The replicas are all addresses of all hosts. Hosts that cannot
// be resolved are skipped, as are addresses that do not answer.
func TestLookup(t *testing.T) {
	t.Parallel()
	s := aScene(t, func(s *scene, o *Options) {
		_, port, _ := strings.Cut(s.replicas[0].Host, ":")
		o.Replicas, o.ServerName = nil, serverName
		o.Registry = []string{"replicas.invalid:5000", "localhost:" + port, s.replicas[1].Host, "[::1]:" + port}
	})
	s.mirror(t, "acme/upf", "a")
	for range 8 {
		if got := s.get(t, s.path("acme/upf", "manifests/1")); got.status != 200 {
			t.Fatalf("%d %s %v", got.status, got.body, got.err)
		}
	}
	for _, r := range s.replicas {
		if len(r.Requests()) < 2 {
			t.Errorf("a replica was asked %d times of 8", len(r.Requests()))
		}
	}
	if s.counted(sourceRegistry) != 8 {
		t.Errorf("%d from the registry", s.counted(sourceRegistry))
	}
}

// A replica does not count as failed because the node gave up.
func TestNodeGivesUp(t *testing.T) {
	t.Parallel()
	s := aScene(t, nil)
	asked := make(chan struct{}, 2)
	for _, r := range s.replicas {
		r.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
			asked <- struct{}{}
			<-req.Context().Done()
			return true
		})
	}
	ctx, giveUp := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, s.path("acme/upf", "manifests/1"), http.NoBody)
		s.agent.ServeHTTP(httptest.NewRecorder(), req)
	}()
	<-asked
	giveUp()
	<-ended
	if n := len(s.agent.replicas.failed); n != 0 {
		t.Errorf("%d replicas are avoided", n)
	}
	if len(s.origin.Requests()) > 0 {
		t.Error("the origin was asked for nobody")
	}
}

// A manifest with a wrong digest is read from another source.
func TestWrongManifest(t *testing.T) {
	t.Parallel()
	s := aScene(t, nil)
	d := s.mirror(t, "acme/upf", "a")
	push(t, s.origin.Host, "acme/upf", "a")
	lie := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Docker-Content-Digest", d.Digest.String())
		_, _ = w.Write([]byte("{}"))
		return true
	}
	s.replicas[0].Intercept(lie)
	for _, reference := range []string{"1", d.Digest.String()} {
		for range 2 {
			if got := s.get(t, s.path("acme/upf", "manifests/"+reference)); got.status != 200 || digest.FromString(got.body) != d.Digest {
				t.Errorf("%d %s %v", got.status, got.body, got.err)
			}
		}
	}
	s.replicas[1].Intercept(lie)
	s.origin.Intercept(lie)
	if got := s.get(t, s.path("acme/upf", "manifests/"+d.Digest.String())); got.status != 503 || !strings.Contains(got.body, "does not have the digest") {
		t.Errorf("%d %s %v", got.status, got.body, got.err)
	}
}

// The node never gets a 401, and the error says why the image is missing.
func TestMissing(t *testing.T) {
	t.Parallel()
	login := func(r *http.Request) { r.SetBasicAuth("acme", "secret-password") }
	for _, tt := range []struct {
		reason string
		origin registrytest.Option
		harm   func(*scene)
		change func(*http.Request)
		status int
		says   string
	}{
		{"the origin does not have it either", nil, nil, nil, 404, `"code":"MANIFEST_UNKNOWN"`},
		{"a login is needed", registrytest.BasicAuth("acme", "secret-password"), nil, nil, 404, "asks for a login"},
		{"a token is needed", registrytest.BearerAuth("acme", "secret-password"), nil, nil, 404, "denied"},
		{"a wrong login", registrytest.BasicAuth("acme", "other-password"), nil, login, 404, "401 Unauthorized"},
		{"a wrong login at the token server", registrytest.BearerAuth("acme", "other-password"), nil, login, 404, "denied"},
		{"it is forbidden", nil, func(s *scene) {
			s.origin.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(403); return true })
		}, nil, 404, "403 Forbidden"},
		{"it is down", nil, func(s *scene) { s.origin.Down() }, nil, 503, `"code":"UNAVAILABLE"`},
		{"it is overloaded", nil, func(s *scene) {
			s.origin.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(502); return true })
		}, nil, 503, "502 Bad Gateway"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			var options []registrytest.Option
			if tt.origin != nil {
				options = append(options, tt.origin)
			}
			s := aScene(t, nil, options...)
			if tt.harm != nil {
				tt.harm(s)
			}
			var changes []func(*http.Request)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			got := s.get(t, s.path("acme/upf", "manifests/1"), changes...)
			if got.status != tt.status || !strings.Contains(got.body, tt.says) || got.header.Get("Www-Authenticate") != "" || strings.Contains(got.body, "-password") {
				t.Errorf("%d %s %v", got.status, got.body, got.err)
			}
			if s.counted(sourceMissing)+s.counted(sourceFailed) != 1 {
				t.Error("it is not counted")
			}
			for _, r := range s.replicas {
				for _, req := range r.Requests() {
					if req.Header.Get("Authorization") != "" {
						t.Error("the registry got the login of the origin")
					}
				}
			}
		})
	}
}

// The login that a node sends is passed on to the origin, in the form that the origin requires.
func TestLogin(t *testing.T) {
	t.Parallel()
	for name, origin := range map[string]registrytest.Option{"Basic": registrytest.BasicAuth("acme", "password"), "Bearer": registrytest.BearerAuth("acme", "password")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aScene(t, nil, origin)
			for range 2 {
				got := s.get(t, s.path("acme/upf", "manifests/1"), func(r *http.Request) { r.SetBasicAuth("acme", "password") })
				if got.status != 404 || !strings.Contains(got.body, errMissing.Error()) {
					t.Errorf("%d %s %v", got.status, got.body, got.err)
				}
			}
			if got := s.get(t, s.path("acme/upf", "manifests/1")); !strings.Contains(got.body, "denied") {
				t.Errorf("the login of one pull serves for another: %s", got.body)
			}
		})
	}
}

// An origin that issues tokens to everybody, as Docker Hub does, needs no login.
func TestAnonymousToken(t *testing.T) {
	t.Parallel()
	s := aScene(t, nil)
	d := push(t, s.origin.Host, "acme/upf", "a")
	s.origin.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/token":
			_, _ = fmt.Fprintf(w, `{"token":"for %s"}`, r.URL.Query().Get("scope"))
		case r.Header.Get("Authorization") != "Bearer for repository:acme/upf:pull":
			w.Header().Set("Www-Authenticate", `Bearer realm="http://`+s.origin.Host+`/token",service="r",scope="repository:acme/upf:pull"`)
			w.WriteHeader(401)
		default:
			return false
		}
		return true
	})
	if got := s.get(t, s.path("acme/upf", "manifests/1")); got.status != 200 || digest.FromString(got.body) != d.Digest {
		t.Errorf("%d %s %v", got.status, got.body, got.err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	s := aScene(t, func(_ *scene, o *Options) { o.Addresses, o.Port = registry.RemoteAddresses, 7439 })
	upload := func(r *http.Request) { r.Method = http.MethodPost }
	for _, tt := range []struct {
		reason, path string
		change       func(*http.Request)
		status       int
		says         string
	}{
		{"a push", s.path("acme/upf", "blobs/uploads/"), upload, 405, "can only be pulled"},
		{"a list", "/v2/_catalog", nil, 404, "neither a manifest nor a blob"},
		{"the tags", s.path("acme/upf", "tags/list"), nil, 404, "neither a manifest nor a blob"},
		{"a blob by a tag", s.path("acme/upf", "blobs/1"), nil, 404, "neither a manifest nor a blob"},
		{"no repository", "/v2/r.example/manifests/1", nil, 404, "neither a manifest nor a blob"},
		{"a name of Docker Hub without its host", "/v2/nginx/nginx/manifests/1", nil, 404, "neither a manifest nor a blob"},
		{"a way out of the mirror", "/v2/r.example/..%2f..%2facme/upf/manifests/1", nil, 404, "neither a manifest nor a blob"},
		{"another query in the tag", "/v2/r.example/acme/upf/manifests/1%3Fa=b", nil, 404, "neither a manifest nor a blob"},
		{"an origin in the query that is not a host", "/v2/acme/upf/manifests/1?ns=r.example/x", nil, 404, "not the host of a registry"},
		{"an origin in the query that has a login", "/v2/acme/upf/manifests/1?ns=a:b@r.example", nil, 404, "not the host of a registry"},
		{"too long", "/v2/r.example/" + strings.Repeat("a", 2000) + "/manifests/1", nil, 404, "neither a manifest nor a blob"},
		{"an origin at a loopback address", s.path("acme/upf", "manifests/1"), nil, 503, "loopback address"},
		{"the agent itself", "/v2/127.0.0.1_7439/acme/upf/manifests/1", nil, 404, "loopback address"},
		{"the agent itself, by name", "/v2/localhost_7439/acme/upf/manifests/1", nil, 404, "loopback address"},
		{"a metadata service", "/v2/169.254.169.254/acme/upf/manifests/1", nil, 503, "metadata service"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			var changes []func(*http.Request)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			if got := s.get(t, tt.path, changes...); got.status != tt.status || !strings.Contains(got.body, tt.says) {
				t.Errorf("%d %s %v", got.status, got.body, got.err)
			}
		})
	}
	if n := len(s.origin.Requests()); n != 0 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// An origin that accepts a connection and sends nothing does not block
// the node, and the request that waits for it does not block others.
func TestOriginHangs(t *testing.T) {
	t.Parallel()
	s := aScene(t, func(_ *scene, o *Options) { o.FirstByte, o.Requests = time.Second, 4 })
	s.mirror(t, "acme/smf", "b")
	s.origin.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := s.get(t, s.path("acme/upf", "manifests/1")); got.status != 503 {
				t.Errorf("%d %s %v", got.status, got.body, got.err)
			}
		})
	}
	all.Wait()
	if got := s.get(t, s.path("acme/smf", "manifests/1")); got.status != 200 {
		t.Errorf("%d %s %v", got.status, got.body, got.err)
	}
}

// If a source breaks off or stops sending, the node's connection ends: the node must not take a part for the whole.
func TestBreaksOff(t *testing.T) {
	t.Parallel()
	blob := digest.FromString("any").String()
	for reason, then := range map[string]func(*http.Request){
		"it breaks off": func(*http.Request) { panic(http.ErrAbortHandler) },
		"it stops":      func(r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := aScene(t, func(_ *scene, o *Options) { o.Idle = 200 * time.Millisecond })
			for _, r := range s.replicas {
				r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
					w.Header().Set("Docker-Content-Digest", blob)
					w.Header().Set("Content-Length", "1000")
					_, _ = w.Write([]byte("half"))
					_ = http.NewResponseController(w).Flush()
					then(req)
					return true
				})
			}
			if got := s.get(t, s.path("acme/upf", "blobs/"+blob)); got.err == nil {
				t.Errorf("%d %q, and no error", got.status, got.body)
			}
		})
	}
}

// A blob is never held in memory, however many are read at the same time.
func TestBlobsAreStreamed(t *testing.T) {
	const size, readers = 100 << 20, 4
	s := aScene(t, nil)
	part, blob := make([]byte, 1<<20), digest.FromString("any").String()
	_, _ = rand.Read(part)
	for _, r := range s.replicas {
		r.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Docker-Content-Digest", blob)
			w.Header().Set("Content-Length", fmt.Sprint(size))
			for range size / len(part) {
				if _, err := w.Write(part); err != nil {
					return true
				}
			}
			return true
		})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			resp, err := http.Get(s.node.URL + s.path("acme/upf", "blobs/"+blob))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	all.Wait()
	runtime.ReadMemStats(&after)
	// TotalAlloc includes the allocations of the replicas and the readers, and memory that was freed again.
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 32<<20 {
		t.Errorf("%d MiB were allocated for %d MiB of blobs", allocated>>20, readers*size>>20)
	}
}

// Changed certificates are used without a restart. If files cannot be read, the previous certificates are used.
func TestFilesChange(t *testing.T) {
	t.Parallel()
	f := clientFiles(t, nil)
	ts := newTransports(f, serverName)
	if _, err := ts.now(); err == nil || !strings.Contains(err.Error(), "has no certificate") {
		t.Fatal(err)
	}
	good := clientFiles(t, registrytest.Start(t, registrytest.TLS()).CA)
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(good.Authorities, f.Authorities)
	first, err := ts.now()
	if err != nil {
		t.Fatal(err)
	}
	look := func() http.RoundTripper {
		ts.at = time.Time{}
		now, err := ts.now()
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	if look() != first {
		t.Error("it is another one, and nothing has changed")
	}
	rename(good.Key, f.Key)
	if look() != first {
		t.Error("a certificate without its key is used")
	}
	rename(good.Certificate, f.Certificate)
	second := look()
	if second == first {
		t.Error("the new certificate is not used")
	}
	if err := os.Remove(f.Authorities); err != nil {
		t.Fatal(err)
	}
	if look() != second {
		t.Error("the certificate is lost with the file")
	}
}

// An origin with a private certificate authority is trusted if there is a file for it.
func TestOriginAuthorities(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := aScene(t, func(_ *scene, o *Options) { o.PlainHTTP, o.Authorities = nil, folder }, registrytest.TLS())
	if got := s.get(t, s.path("acme/upf", "manifests/1")); got.status != 503 || !strings.Contains(got.body, "certificate") {
		t.Errorf("%d %s %v", got.status, got.body, got.err)
	}
	if err := os.WriteFile(filepath.Join(folder, s.segment+".crt"), s.origin.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, s.path("acme/upf", "manifests/1")); got.status != 404 {
		t.Errorf("%d %s %v", got.status, got.body, got.err)
	}
}

// While the replicas cannot be looked up, the known ones are asked without another lookup for each request.
func TestLookupFails(t *testing.T) {
	t.Parallel()
	var looked atomic.Int32
	s := aScene(t, func(_ *scene, o *Options) {
		hosts := o.Replicas
		o.Replicas = func(ctx context.Context) ([]string, error) {
			if looked.Add(1) > 1 {
				return nil, errors.New("no answer of the DNS")
			}
			return hosts(ctx)
		}
	})
	s.mirror(t, "acme/upf", "a")
	get := func() {
		t.Helper()
		if got := s.get(t, s.path("acme/upf", "manifests/1")); got.status != 200 {
			t.Fatalf("%d %s %v", got.status, got.body, got.err)
		}
	}
	get()
	s.agent.replicas.looked = time.Now().Add(-lookup)
	for range 5 {
		get()
	}
	if n := looked.Load(); n != 2 {
		t.Errorf("the replicas were looked up %d times", n)
	}
	if s.counted(sourceRegistry) != 6 {
		t.Errorf("%d from the registry", s.counted(sourceRegistry))
	}
	s.agent.replicas.looked = time.Now().Add(-lookup)
	if get(); looked.Load() != 3 {
		t.Errorf("the replicas were looked up %d times", looked.Load())
	}
}

// A lookup that takes all of the time is not a registry without replicas.
func TestLookupTakesTheTime(t *testing.T) {
	t.Parallel()
	s := aScene(t, nil)
	_, err := s.agent.replicas.ask(t.Context(), ask{}, nil, time.Now())
	if err == nil || errors.Is(err, errNoReplica) || !errors.Is(err, registry.ErrUnavailable) {
		t.Error(err)
	}
}
