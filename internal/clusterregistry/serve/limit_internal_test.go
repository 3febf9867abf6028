package serve

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// A client that keeps all its requests open must get at most
// a quarter of the turns, so that another client is answered.
func TestOneClientLeavesTurnsForOthers(t *testing.T) {
	var names atomic.Int64
	held, release := make(chan struct{}, 16), make(chan struct{})
	turns := newTurns(8)
	server := httptest.NewServer(turns.limit(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		if token, _ := access.TokenOf(req); token == "greedy" {
			held <- struct{}{}
			<-release
		}
	})))
	t.Cleanup(server.Close)
	ask := func(as string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Error(err)
			return 0
		}
		// The user name does not matter: the same token with another user name is the same client.
		req.SetBasicAuth(fmt.Sprint("user", names.Add(1)), as)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return 0
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	var greedy sync.WaitGroup
	for range 6 {
		greedy.Go(func() { ask("greedy") })
	}
	<-held
	<-held
	if got := ask("modest"); got != http.StatusOK {
		t.Errorf("the other client got %d", got)
	}
	if n := len(held); n != 0 {
		t.Errorf("the greedy client has %d more turns than a quarter", n)
	}
	close(release)
	greedy.Wait()
	if n := turns.clients.Len(); n != 0 {
		t.Errorf("%d clients are remembered that have gone", n)
	}
}

// A client may have only so many requests that wait for a turn. The
// next one must be refused at once, and must not delay other clients.
func TestRequestsThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(8)
		request := func(as string) *http.Request {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			req.SetBasicAuth("x", as)
			return req
		}
		release := make(chan struct{})
		h := turns.limit(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			if token, _ := access.TokenOf(req); token == "greedy" {
				<-release
			}
		}))
		ask := func(as string) (status int, took time.Duration) {
			w, began := httptest.NewRecorder(), time.Now()
			h.ServeHTTP(w, request(as))
			return w.Code, time.Since(began)
		}
		var all sync.WaitGroup
		var answered atomic.Int64
		for range 8/4 + 2*8 {
			all.Go(func() {
				if status, _ := ask("greedy"); status == http.StatusOK {
					answered.Add(1)
				}
			})
		}
		synctest.Wait()
		if status, took := ask("greedy"); status != http.StatusServiceUnavailable || took > 0 {
			t.Errorf("one more is answered with %d after %s", status, took)
		}
		if status, took := ask("modest"); status != http.StatusOK || took > 0 {
			t.Errorf("another client is answered with %d after %s", status, took)
		}
		close(release)
		all.Wait()
		if n := turns.clients.Len(); n != 0 || answered.Load() != 8/4+2*8 {
			t.Errorf("%d requests were answered, and %d clients are remembered", answered.Load(), n)
		}
	})
}

// All tokens of a user must share one limit. A token that is not accepted must not get its own limit.
func TestSharesAreOfClientsAndNotOfTokens(t *testing.T) {
	turns := newTurns(8)
	turns.client = func(req *http.Request) string {
		token, _ := access.TokenOf(req)
		name, _, _ := strings.Cut(token, "-")
		return name
	}
	request := func(token, address string) *http.Request {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.SetBasicAuth("x", token)
		req.RemoteAddr = address
		return req
	}
	agent := func(req *http.Request) *http.Request {
		certificate := &x509.Certificate{Subject: pkix.Name{CommonName: access.AgentName, Organization: []string{access.AgentOrganization}}}
		chain := []*x509.Certificate{certificate}
		req.TLS = &tls.ConnectionState{PeerCertificates: chain, VerifiedChains: [][]*x509.Certificate{chain}}
		return req
	}
	for _, tt := range []struct {
		reason string
		a, b   *http.Request
		same   bool
	}{
		{"two tokens of one user, from two addresses", request("jane-1", "10.0.0.1:1"), request("jane-2", "10.0.0.2:1"), true},
		{"two users at one address", request("jane-1", "10.0.0.1:1"), request("joe-1", "10.0.0.1:1"), false},
		{"two tokens that nobody accepts, from one address", request("-1", "10.0.0.1:1"), request("-2", "10.0.0.1:2"), true},
		{"nobody at two addresses", request("-1", "10.0.0.1:1"), request("-1", "10.0.0.2:1"), false},
		{"nobody at two addresses that one host can have", request("-1", "[2001:db8::1]:1"), request("-1", "[2001:db8::2]:1"), true},
		{"agents of two nodes in one network", agent(request("-1", "[2001:db8::1]:1")), agent(request("-1", "[2001:db8::2]:1")), false},
		{"nobody at two networks", request("-1", "[2001:db8::1]:1"), request("-1", "[2001:db8:0:1::1]:1"), false},
		{"a user whose name is an address", request("10.0.0.1", "10.0.0.2:1"), request("-1", "10.0.0.1:1"), false},
	} {
		if got := turns.keyOf(tt.a) == turns.keyOf(tt.b); got != tt.same {
			t.Errorf("%s: they are one client: %t", tt.reason, got)
		}
	}
}

// A client that sends a byte now and then must not keep its turn longer
// than a minute. Time in which the registry does not read must not count.
func TestClientsThatTrickleAreEnded(t *testing.T) {
	for _, tt := range []struct {
		reason string
		bytes  int
		took   time.Duration
		want   bool
	}{
		{"a byte in each 50 seconds", 1, 50 * time.Second, false},
		{"just too little", leastSent/60 - 1, 1001 * time.Millisecond, false},
		{"a slow line", 1 << 10, time.Second, true},
		{"what comes at once, as often as the registry reads", 1, 0, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			b, fast := patientBody{}, true
			for range 1000 {
				fast = fast && b.fast(tt.bytes, tt.took)
			}
			if fast != tt.want {
				t.Errorf("it may go on: %t", fast)
			}
		})
	}
}

// slow is a body that sends one byte a second, without end.
type slow struct{}

func (slow) Read(p []byte) (int, error) {
	<-time.After(time.Second)
	return copy(p, "x"), nil
}

func (slow) Close() error { return nil }

// A large manifest must arrive in time, because others wait for its place.
func TestBodiesOfLargeManifestsAreEnded(t *testing.T) {
	for _, tt := range []struct {
		reason, method, path string
		size                 int64
		want                 time.Duration // 0: unlimited
	}{
		{"a large manifest", http.MethodPut, "/v2/r/manifests/1", storage.Large + 1, manifestTime},
		{"one whose size is not known", http.MethodPut, "/v2/r/manifests/1", -1, manifestTime},
		{"a small one", http.MethodPut, "/v2/r/manifests/1", storage.Large, 0},
		{"a layer", http.MethodPut, "/v2/r/blobs/uploads/1", 1 << 30, 0},
		{"a layer of a repository with that word in its name", http.MethodPut, "/v2/a/manifests/b/blobs/uploads/1", 1 << 30, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, slow{})
				req.ContentLength = tt.size
				patient(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
					<-time.After(time.Hour) // as it would wait for a place
					began := time.Now()
					n, err := io.ReadAll(io.LimitReader(req.Body, 50))
					if took := time.Since(began); tt.want > 0 && (took != tt.want || !errors.Is(err, errSlow)) || tt.want == 0 && err != nil {
						t.Errorf("%d bytes in %s, %v", len(n), took, err)
					}
				})).ServeHTTP(httptest.NewRecorder(), req)
			})
		})
	}
}

func TestGuard(t *testing.T) {
	const gib = 1 << 30
	for _, tt := range []struct {
		reason string
		guard  Guard
		usage  volume.Usage
		want   bool
	}{
		{"half full", Guard{}, volume.Usage{Size: 100 * gib, Free: 50 * gib}, false},
		{"above the high-water mark", Guard{}, volume.Usage{Size: 100 * gib, Free: 4 * gib}, true},
		{"less free than must be", Guard{HighWater: 100}, volume.Usage{Size: 100 * gib, Free: gib / 2}, true},
		{"a small volume need not have a whole GiB free", Guard{}, volume.Usage{Size: 2 * gib, Free: gib / 4}, false},
		{"a small volume that is nearly full", Guard{HighWater: 100}, volume.Usage{Size: 2 * gib, Free: gib / 20}, true},
		{"more used than there is", Guard{}, volume.Usage{}, false},
		{"few files are left", Guard{}, volume.Usage{Size: 100 * gib, Free: 50 * gib, Files: 1000, FreeFiles: 49}, true},
		{"many files are left", Guard{}, volume.Usage{Size: 100 * gib, Free: 50 * gib, Files: 1000, FreeFiles: 51}, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if got := tt.guard.withDefaults().refuses(tt.usage); (got != "") != tt.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestReady(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		reason       string
		last         *probed
		ready, works bool
	}{
		{"never", nil, false, false},
		{"just now", &probed{at: now}, true, true},
		{"it failed", &probed{at: now, err: unix.EIO}, false, false},
		{"it is full", &probed{at: now, err: fmt.Errorf("writing: %w", unix.ENOSPC)}, true, false},
		{"its quota is used up", &probed{at: now, err: unix.EDQUOT}, true, false},
		{"it is read-only", &probed{at: now, err: unix.EROFS}, true, false},
		{"long ago", &probed{at: now.Add(-time.Minute)}, false, false},
		{"it was full long ago", &probed{at: now.Add(-time.Minute), err: unix.ENOSPC}, false, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			p := prober{}
			p.last.Store(tt.last)
			if err := p.ready(now); (err == nil) != tt.ready {
				t.Error(err)
			}
			if err := p.works(now); (err == nil) != tt.works {
				t.Error(err)
			}
		})
	}
}
