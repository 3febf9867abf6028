package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestStatusToError(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason    string
		status    int
		code      string
		read, del error
	}{
		"denied":            {"", http.StatusForbidden, "DENIED", registry.ErrDenied, registry.ErrDenied},
		"no 404 of its own": {"I2: anything between us and the registry says this", http.StatusNotFound, "", registry.ErrUnavailable, registry.ErrUnavailable},
		"404 of a blob":     {"I2: it was not asked for a blob", http.StatusNotFound, "BLOB_UNKNOWN", registry.ErrUnavailable, registry.ErrUnavailable},
		"off":               {"deletion disabled, distribution", http.StatusMethodNotAllowed, "UNSUPPORTED", registry.ErrUnsupported, registry.ErrUnsupported},
		"off, 400":          {"deletion disabled, by the specification", http.StatusBadRequest, "UNSUPPORTED", registry.ErrDenied, registry.ErrUnsupported},
		"off, no code":      {"the same without a word", http.StatusBadRequest, "", registry.ErrDenied, registry.ErrUnsupported},
		"tag read as wrong": {"registries from before tag deletion", http.StatusBadRequest, "DIGEST_INVALID", registry.ErrDenied, registry.ErrUnsupported},
		"not implemented":   {"", http.StatusNotImplemented, "", registry.ErrUnavailable, registry.ErrUnsupported},
		"bad name":          {"says nothing of deletion", http.StatusBadRequest, "NAME_INVALID", registry.ErrDenied, registry.ErrDenied},
		"dangling":          {"an index needs it", http.StatusBadRequest, "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE", registry.ErrDenied, registry.ErrProtected},
		"conflict":          {"an immutable tag", http.StatusConflict, "DENIED", registry.ErrDenied, registry.ErrProtected},
		"precondition":      {"an immutable tag, Harbor", http.StatusPreconditionFailed, "PRECONDITION", registry.ErrDenied, registry.ErrProtected},
		"referenced":        {"405 as well, zot: an index refers to it", http.StatusMethodNotAllowed, "DENIED", registry.ErrUnsupported, registry.ErrProtected},
		"locked":            {"405 as well, and only this one", http.StatusMethodNotAllowed, "REGISTRY_DISALLOWED_OPERATION", registry.ErrDenied, registry.ErrProtected},
		"too early":         {"", http.StatusTooEarly, "", registry.ErrUnavailable, registry.ErrUnavailable},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if row.code == "" {
					w.WriteHeader(row.status)
					return
				}
				registrytest.Fail(w, row.status, row.code, "because")
			}))
			_, read := c.Manifest(t.Context(), "app", digest.FromString("x"))
			if !errors.Is(read, row.read) {
				t.Errorf("Manifest: %v, want %v: %s", read, row.read, row.reason)
			}
			if err := c.Untag(t.Context(), "app", "1.0.0"); !errors.Is(err, row.del) {
				t.Errorf("Untag: %v, want %v: %s", err, row.del, row.reason)
			}
			if err := c.Delete(t.Context(), "app", digest.FromString("x")); !errors.Is(err, row.del) {
				t.Errorf("Delete: %v, want %v: %s", err, row.del, row.reason)
			}
			var answer *errcode.ErrorResponse
			if !errors.As(read, &answer) || answer.StatusCode != row.status {
				t.Errorf("the HTTP detail is not reachable in %v", read)
			}
		})
	}
}

// flaky answers the first requests with a status and the rest with success.
func flaky(fail int, code int, header http.Header, tries *atomic.Int64) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: req, ContentLength: 2}
		if tries.Add(1) <= int64(fail) {
			resp.StatusCode, resp.Header = code, header.Clone()
		}
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestRetries(t *testing.T) {
	t.Parallel()
	after := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	ping := func(ctx context.Context, c *registry.Client) error { return c.Ping(ctx) }
	untag := func(ctx context.Context, c *registry.Client) error { return c.Untag(ctx, "app", "1.0.0") }
	rows := map[string]struct {
		reason   string
		fail     int
		code     int
		header   http.Header
		deadline time.Duration
		act      func(context.Context, *registry.Client) error
		want     error
		tries    int64
		min, max time.Duration
	}{
		"read, 429":              {"as long as it asks", 1, 429, after("7"), 0, ping, nil, 2, 7 * time.Second, 8 * time.Second},
		"read, 503":              {"as long as it asks", 2, 503, after("1"), 0, ping, nil, 3, 2 * time.Second, 3 * time.Second},
		"read, 500":              {"a short while", 3, 500, nil, 0, ping, nil, 4, 0, 2 * time.Second},
		"read, 500 for ever":     {"four times are enough", 9, 500, nil, 0, ping, registry.ErrUnavailable, 4, 0, 2 * time.Second},
		"read, 429 for ever":     {"four times are enough", 9, 429, after("2"), 0, ping, registry.ErrUnavailable, 4, 6 * time.Second, 7 * time.Second},
		"read, asks for an hour": {"that is for the caller's queue", 1, 429, after("3600"), 0, ping, registry.ErrUnavailable, 1, 0, 0},
		"read, a century":        {"nor does it overflow", 1, 429, after("99999999999999"), 0, ping, registry.ErrUnavailable, 1, 0, 0},
		"read, deadline":         {"a wait that cannot end in time is not begun", 1, 429, after("7"), 5 * time.Second, ping, registry.ErrUnavailable, 1, 0, 0},
		"read, 501":              {"will not get better", 1, 501, nil, 0, ping, registry.ErrUnavailable, 1, 0, 0},
		"write, 429":             {"it was not done", 1, 429, after("2"), 0, untag, nil, 2, 2 * time.Second, 3 * time.Second},
		"write, 429 late":        {"I3: the evidence would be too old", 1, 429, after("6"), 0, untag, registry.ErrUnavailable, 1, 0, 0},
		"write, 429, then again": {"I3: counted from the first try", 9, 429, after("2"), 0, untag, registry.ErrUnavailable, 3, 4 * time.Second, 5 * time.Second},
		"write, 500":             {"it may have been done, and the tag pushed anew", 1, 500, nil, 0, untag, registry.ErrUnavailable, 1, 0, 0},
		"write, 503":             {"so here", 1, 503, after("1"), 0, untag, registry.ErrUnavailable, 1, 0, 0},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries atomic.Int64
				c := open(t, registry.Config{
					Location:  v1alpha1.RegistryLocation{PlainHTTP: true, Host: "r.example"},
					Transport: func(http.RoundTripper) http.RoundTripper { return flaky(row.fail, row.code, row.header, &tries) },
				})
				ctx := t.Context()
				if row.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, row.deadline)
					defer cancel()
				}
				started := time.Now()
				err := row.act(ctx, c)
				took := time.Since(started)
				if !errors.Is(err, row.want) || tries.Load() != row.tries {
					t.Errorf("%v after %d tries, want %v after %d: %s", err, tries.Load(), row.want, row.tries, row.reason)
				}
				if took < row.min || took > row.max {
					t.Errorf("took %s, want %s to %s: %s", took, row.min, row.max, row.reason)
				}
			})
		})
	}
}

func TestRetryAfterDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		at := time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat)
		c := open(t, registry.Config{
			Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: "r.example"},
			Transport: func(http.RoundTripper) http.RoundTripper {
				return flaky(1, 429, http.Header{"Retry-After": {at}}, &tries)
			},
		})
		started := time.Now()
		if err := c.Ping(t.Context()); err != nil || time.Since(started) < 8*time.Second {
			t.Errorf("%v after %s, want success after 9 s", err, time.Since(started))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	ping := func(ctx context.Context, c *registry.Client) error { return c.Ping(ctx) }
	list := func(ctx context.Context, c *registry.Client) error { _, err := c.List(ctx, "app"); return err }
	remove := func(ctx context.Context, c *registry.Client) error {
		return c.Delete(ctx, "app", digest.FromString("x"))
	}
	rows := map[string]struct {
		reason string
		act    func(context.Context, *registry.Client) error
		status int
		asked  string
		want   time.Duration
	}{
		"write":         {"longer than a write may take", remove, 429, "20", 20 * time.Second},
		"read":          {"longer than a read waits", ping, 429, "90", 90 * time.Second},
		"list":          {"of image manifests too", list, 503, "40", 40 * time.Second},
		"given up":      {"it was waited for, four times", ping, 503, "2", 2 * time.Second},
		"an hour":       {"nobody waits so long", remove, 429, "3600", 5 * time.Minute},
		"a century":     {"nor does it overflow", remove, 429, "99999999999999", 5 * time.Minute},
		"date":          {"the other form", remove, 429, "+70s", 70 * time.Second},
		"far date":      {"cut as well", remove, 429, "+24h", 5 * time.Minute},
		"past":          {"the time has come", remove, 503, "-10s", 0},
		"negative":      {"is nonsense", remove, 503, "-5", 0},
		"words":         {"so is this", remove, 503, "soon", 0},
		"does not ask":  {"", remove, 503, "", 0},
		"with an error": {"whatever the error", remove, 403, "7", 7 * time.Second},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := row.asked
				if d, err := time.ParseDuration(asked); err == nil {
					asked = time.Now().Add(d).UTC().Format(http.TimeFormat)
				}
				var tries atomic.Int64
				c := open(t, registry.Config{
					Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: "r.example"},
					Transport: func(http.RoundTripper) http.RoundTripper {
						return flaky(99, row.status, http.Header{"Retry-After": {asked}}, &tries)
					},
				})
				err := row.act(t.Context(), c)
				if got := registry.RetryAfter(fmt.Errorf("purging: %w", err)); err == nil || got != row.want {
					t.Errorf("%s, want %s, of %v: %s", got, row.want, err, row.reason)
				}
			})
		})
	}
	for _, err := range []error{nil, context.Canceled} {
		if got := registry.RetryAfter(err); got != 0 {
			t.Errorf("%v: %s, want 0: no registry has said anything", err, got)
		}
	}
}

func TestRetryStopsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		c := open(t, registry.Config{
			Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: "r.example"},
			Transport: func(http.RoundTripper) http.RoundTripper {
				return flaky(9, 429, http.Header{"Retry-After": {"20"}}, &tries)
			},
		})
		time.AfterFunc(3*time.Second, cancel)
		started := time.Now()
		err := c.Ping(ctx)
		if !errors.Is(err, context.Canceled) || time.Since(started) != 3*time.Second {
			t.Errorf("%v after %s, want context.Canceled after 3 s", err, time.Since(started))
		}
	})
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	t.Run("connection refused", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		host := l.Addr().String()
		_ = l.Close()
		c := open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: host}})
		if err := c.Ping(t.Context()); !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%v, want ErrUnavailable that says refused", err)
		}
	})
	t.Run("broken connections", func(t *testing.T) {
		t.Parallel()
		r, c := start(t)
		r.Down()
		_, err := c.Resolve(t.Context(), "app", "1.0.0")
		if !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
		r.Forget()
		if err := c.Untag(t.Context(), "app", "1.0.0"); !errors.Is(err, registry.ErrUnavailable) || r.Writes() != 1 {
			t.Errorf("Untag: %v after %d tries, want ErrUnavailable after 1", err, r.Writes())
		}
		r.Up()
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("up again: %v", err)
		}
	})
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		c := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		started := time.Now()
		err := c.Untag(ctx, "app", "1.0.0")
		if !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 5*time.Second {
			t.Errorf("%v after %s, want ErrUnavailable at the deadline", err, time.Since(started))
		}
	})
}

func TestRetriesSendTheBodyAgain(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app")
	if err := c.Untag(t.Context(), "app", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	var puts atomic.Int64
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut || puts.Add(1) > 1 {
			return false
		}
		_, _ = io.Copy(io.Discard, req.Body)
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	if _, err := c.PutTag(t.Context(), "app", "1.0.0", desc.Digest); err != nil || puts.Load() != 2 {
		t.Errorf("%v after %d tries, want success after 2", err, puts.Load())
	}
	if got, err := c.Resolve(t.Context(), "app", "1.0.0"); err != nil || got.Digest != desc.Digest {
		t.Errorf("the tag is at %s, %v, want %s", got.Digest, err, desc.Digest)
	}
}

// The deadline of BeginBefore applies to sending a request only. The client waits for the answer beyond it.
func TestI3BeginBefore(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(2 * time.Second)
	sent := 0
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		<-time.After(time.Until(until))
		w.WriteHeader(http.StatusAccepted)
	}))
	ctx := registry.BeginBefore(t.Context(), until)
	if err := c.Untag(ctx, "app", "1.0.0"); err != nil {
		t.Errorf("answered after that time: %v", err)
	}
	if err := c.Untag(ctx, "app", "1.0.0"); !errors.Is(err, registry.ErrNotSent) || !errors.Is(err, registry.ErrUnavailable) || sent != 1 {
		t.Errorf("begun after that time: %v, %d requests sent", err, sent)
	}
	asked := 0
	c = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	err := c.Untag(registry.BeginBefore(t.Context(), time.Now().Add(2*time.Second)), "app", "1.0.0")
	if asked != 1 || registry.RetryAfter(err) != 5*time.Second {
		t.Errorf("a write that was to wait past it was sent %d times: %v", asked, err)
	}
}
