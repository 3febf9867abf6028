package agent

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// slowly starts an origin that sends content again and again without end,
// with a pause before each. It reports the begin of each answer on begun.
func slowly(t *testing.T, content string, pause time.Duration, begun chan<- struct{}) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		flush(w)
		begun <- struct{}{}
		for {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(pause):
			}
			_, _ = io.WriteString(w, content)
			flush(w)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// hostOf returns the host:port of a server.
func hostOf(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

// of returns the agent's path for an image at a server.
func of(s *httptest.Server, what string) string {
	return "/v2/" + strings.Replace(hostOf(s), ":", "_", 1) + "/acme/upf/" + what
}

// However slow origins are, and however many, the agent serves what the registry has
// at once. It also serves images of another origin while only one is slow.
func TestSlowOriginsHoldNoOthers(t *testing.T) {
	t.Parallel()
	blob := "blobs/" + digest.FromString("any").String()
	for _, tt := range []struct {
		reason, what          string
		requests              int64
		origins, asked, turns int
		images                int // that can be pulled: one in the mirror, one at another origin
	}{
		{"one origin sends blobs", blob, 4, 1, 4, 2, 2},
		{"each blob is of another origin", blob, 4, 4, 4, 3, 1},
		{"one origin sends manifests", "manifests/1", 0, 1, 8, 8, 2},
		{"each manifest is of another origin", "manifests/1", 0, 8, 8, 8, 1},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{}, tt.asked)
			var slow []*httptest.Server
			for range tt.origins {
				slow = append(slow, slowly(t, " ", 50*time.Millisecond, begun))
			}
			s := aScene(t, func(_ *scene, o *Options) {
				o.Requests = tt.requests
				for _, server := range slow {
					o.PlainHTTP = append(o.PlainHTTP, hostOf(server))
				}
			})
			s.mirror(t, "acme/smf", "b")
			push(t, s.origin.Host, "acme/amf", "c")
			ctx, giveUp := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for i := range tt.asked {
				all.Go(func() {
					s.get(t, of(slow[i%len(slow)], tt.what), func(r *http.Request) { *r = *r.WithContext(ctx) })
				})
			}
			for range tt.turns {
				<-begun
			}
			select {
			case <-begun:
				t.Error("one more has a turn")
			case <-time.After(100 * time.Millisecond): // long enough to get a free turn
			}
			for _, repository := range []string{"acme/smf", "acme/amf"}[:tt.images] {
				asked := time.Now()
				got := s.get(t, s.path(repository, "manifests/1"))
				if took := time.Since(asked); got.status != 200 || took > defaultFirstByte/2 {
					t.Errorf("%s: %d %s %v, in %s", repository, got.status, got.body, got.err, took)
				}
			}
			giveUp()
			all.Wait()
			s.free(t)
		})
	}
}

// free checks that all turns are released. A handler may release its turn a moment after its answer.
func (s *scene) free(t *testing.T) {
	t.Helper()
	isFree := func(turns *turns, most int64) bool {
		if !turns.all.TryAcquire(most) {
			return false
		}
		defer turns.all.Release(most)
		return turns.hosts.Len() == 0
	}
	until := time.After(5 * time.Second)
	for !isFree(s.agent.turns, s.agent.o.Requests) || !isFree(s.agent.verified, maxVerified) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-until:
			t.Fatal("some turns are still taken")
		}
	}
}

// A request that gets no turn for an origin is answered with 503 in time, and with the time to wait before a retry.
func TestBusyOrigin(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 2)
	slow := slowly(t, " ", 50*time.Millisecond, begun)
	s := aScene(t, func(_ *scene, o *Options) {
		o.Requests, o.FirstByte, o.PlainHTTP = 4, time.Second, []string{hostOf(slow)}
	})
	path := of(slow, "blobs/"+digest.FromString("any").String())
	ctx, giveUp := context.WithTimeout(t.Context(), 10*time.Second)
	defer giveUp()
	during := func(r *http.Request) { *r = *r.WithContext(ctx) }
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { s.get(t, path, during) })
		<-begun
	}
	got := s.get(t, path, during)
	if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "TOOMANYREQUESTS") || !strings.Contains(got.body, errBusy.Error()) {
		t.Errorf("%d %v %s %v", got.status, got.header, got.body, got.err)
	}
	giveUp()
	all.Wait()
	s.free(t)
}

// The connection to an origin that sends less than it must is ended. One that sends slightly more is not.
func TestLeastRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason  string
		content string
		pause   time.Duration
		ends    bool
	}{
		{"a byte at a time", " ", 50 * time.Millisecond, true},
		{"half of it in the time", strings.Repeat(" ", 3<<10), 100 * time.Millisecond, true},
		{"nothing", "", 50 * time.Millisecond, true},
		{"five times as much", strings.Repeat(" ", 32<<10), 100 * time.Millisecond, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			slow := slowly(t, tt.content, tt.pause, make(chan struct{}, 1))
			s := aScene(t, func(_ *scene, o *Options) { o.Stall, o.PlainHTTP = time.Second, []string{hostOf(slow)} })
			wait := 2500 * time.Millisecond // more than two periods, in which the connection must not end
			if tt.ends {
				wait = 10 * time.Second
			}
			ctx, giveUp := context.WithTimeout(t.Context(), wait)
			defer giveUp()
			got := s.get(t, of(slow, "blobs/"+digest.FromString("any").String()), func(r *http.Request) { *r = *r.WithContext(ctx) })
			if ended := ctx.Err() == nil; ended != tt.ends || got.err == nil {
				t.Errorf("%d, %d bytes, %v; ended: %t", got.status, len(got.body), got.err, ended)
			}
			s.free(t)
		})
	}
}

// A slow node does not make a fast origin count as slow.
func TestSlowNode(t *testing.T) {
	t.Parallel()
	const size = 32 << 20 // more than fits into the buffers of the connections
	fast := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, size))
	}))
	t.Cleanup(fast.Close)
	s := aScene(t, func(_ *scene, o *Options) { o.Stall, o.PlainHTTP = 200*time.Millisecond, []string{hostOf(fast)} })
	resp, err := http.Get(s.node.URL + of(fast, "blobs/"+digest.FromString("any").String()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	<-time.After(time.Second)
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	s.free(t)
}
