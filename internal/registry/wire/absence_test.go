package wire_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// This test finds an answer that is taken as proof of an absence
// although its error code is not about the requested object.
func TestI2AbsenceIsTheRegistrysWord(t *testing.T) {
	t.Parallel()
	const repository = "acme/app"
	d := digest.FromString("x")
	asks := map[string]func(*testing.T, *registry.Client) error{
		"manifest": func(t *testing.T, c *registry.Client) error {
			_, err := c.Manifest(t.Context(), repository, d)
			return err
		},
		"tag": func(t *testing.T, c *registry.Client) error {
			_, err := c.Resolve(t.Context(), repository, "1")
			return err
		},
		"blob": func(t *testing.T, c *registry.Client) error {
			_, err := c.Blob(t.Context(), repository, d, 10)
			return err
		},
		"tags":   func(t *testing.T, c *registry.Client) error { _, err := c.Tags(t.Context(), repository); return err },
		"delete": func(t *testing.T, c *registry.Client) error { return c.Delete(t.Context(), repository, d) },
	}
	rows := map[string]struct {
		reason        string
		status        int
		code, message string
		proves        string // the requests for which the answer is proof
	}{
		"manifest unknown":    {"the code for it", http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown", "manifest tag delete"},
		"name unknown":        {"an unknown repository contains nothing", http.StatusNotFound, "NAME_UNKNOWN", "repository name not known", "manifest tag blob tags delete"},
		"blob unknown":        {"the code for it", http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown", "blob"},
		"tag expired":         {"Quay's code for a deleted tag", http.StatusNotFound, "TAG_EXPIRED", "Tag has expired", "manifest tag delete"},
		"harbor's artifact":   {"Harbor has a code of its own", http.StatusNotFound, "NOT_FOUND", "artifact acme/app:1 not found", "manifest tag blob tags delete"},
		"harbor's repository": {"", http.StatusNotFound, "NOT_FOUND", "repository acme/app not found", "manifest tag blob tags delete"},
		"another repository":  {"an answer to another question", http.StatusNotFound, "NOT_FOUND", "repository acme/ap not found", ""},
		"another not found":   {"a gateway's JSON", http.StatusNotFound, "NOT_FOUND", "route not found", ""},
		"not acceptable":      {"it exists, in a form that was not asked for", http.StatusNotFound, "MANIFEST_UNKNOWN", "OCI index found, but accept header does not support OCI indexes", ""},
		"unsupported":         {"says nothing of what exists", http.StatusNotFound, "UNSUPPORTED", "no such route", ""},
		"no code":             {"a proxy's JSON", http.StatusNotFound, "", "not found", ""},
		"503":                 {"a status for what is down, whatever it says", http.StatusServiceUnavailable, "MANIFEST_UNKNOWN", "manifest unknown", ""},
	}
	for name, row := range rows {
		for ask, act := range asks {
			t.Run(name+"/"+ask, func(t *testing.T) {
				t.Parallel()
				server := serverOf(func(req *http.Request) *http.Response {
					body := `{"errors":[{"code":"` + row.code + `","message":"` + row.message + `"}]}`
					if row.code == "" {
						body = `{"message":"not found"}`
					}
					return &http.Response{StatusCode: row.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}
				})
				synctest.Test(t, func(t *testing.T) {
					c := open(t, registry.Config{
						Location:  v1alpha1.RegistryLocation{PlainHTTP: true, Host: "r.example"},
						Transport: func(http.RoundTripper) http.RoundTripper { return server },
					})
					want := registry.ErrUnavailable
					if strings.Contains(" "+row.proves+" ", " "+ask+" ") {
						want = registry.ErrNotFound
					}
					if err := act(t, c); !errors.Is(err, want) {
						t.Errorf("%v, want %v: %s", err, want, row.reason)
					}
				})
			})
		}
	}
}

// A HEAD answer has no body that could give the reason, and some registries refuse HEAD.
func TestResolveAsksAgainByGet(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		head   int
		get    http.HandlerFunc // nil: the registry's own answer
		want   error
		tag    string
	}{
		"404, there":     {"the answer that has the manifest counts", http.StatusNotFound, nil, nil, "1.0.0"},
		"405":            {"a registry that refuses HEAD can be used", http.StatusMethodNotAllowed, nil, nil, "1.0.0"},
		"501":            {"so can this", http.StatusNotImplemented, nil, nil, "1.0.0"},
		"404, not there": {"the registry says so itself", http.StatusNotFound, nil, registry.ErrNotFound, "2.0.0"},
		"404 twice":      {"nobody who knows has said it", http.StatusNotFound, http.NotFound, registry.ErrUnavailable, "1.0.0"},
		"403":            {"is an answer", http.StatusForbidden, nil, registry.ErrDenied, "1.0.0"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c := start(t)
			pushed := push(t, r.Host, "app")
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				switch {
				case req.Method == http.MethodHead:
					w.WriteHeader(row.head)
				case row.get != nil:
					row.get(w, req)
				default:
					return false
				}
				return true
			})
			desc, err := c.Resolve(t.Context(), "app", row.tag)
			if !errors.Is(err, row.want) || (err == nil && desc.Digest != pushed.Digest) {
				t.Errorf("%s, %v; want %s, %v: %s", desc.Digest, err, pushed.Digest, row.want, row.reason)
			}
		})
	}
}

// This test finds an absence that settles too early, or although the registry has answered otherwise in between.
func TestI2AbsenceSettles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		there := &atomic.Bool{}
		broken := &atomic.Bool{}
		server := serverOf(func(req *http.Request) *http.Response {
			status, body := http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`
			switch {
			case broken.Load():
				status, body = http.StatusBadGateway, ""
			case there.Load():
				status, body = http.StatusOK, `{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req, ContentLength: -1}
		})
		c := open(t, registry.Config{
			Location:  v1alpha1.RegistryLocation{PlainHTTP: true, Host: "r.example"},
			Transport: func(http.RoundTripper) http.RoundTripper { return server },
		})
		look := func() error { _, err := c.Resolve(t.Context(), "app", "1"); return err }
		wants := func(when string, want time.Duration) {
			t.Helper()
			if err := look(); !errors.Is(err, registry.ErrNotFound) || registry.SettlesIn(err) != want {
				t.Errorf("%s: %v, settles in %s; want %s", when, err, registry.SettlesIn(err), want)
			}
		}
		wants("the first time", registry.SecondLook)
		<-time.After(10 * time.Second)
		wants("after 10 s", 5*time.Second)
		broken.Store(true)
		if err := look(); registry.SettlesIn(err) != registry.SecondLook {
			t.Errorf("%v settles in %s: it is not absence", err, registry.SettlesIn(err))
		}
		broken.Store(false)
		<-time.After(10 * time.Second)
		wants("after 20 s, with a break of the service", 0)
		there.Store(true)
		if err := look(); err != nil {
			t.Fatal(err)
		}
		there.Store(false)
		wants("it was there meanwhile", registry.SecondLook)
		if _, err := c.Resolve(t.Context(), "app", "2"); registry.SettlesIn(err) != registry.SecondLook {
			t.Error("what is said of one tag counts for another")
		}
	})
}

// serverOf is a server that needs no network.
type serverOf func(*http.Request) *http.Response

func (f serverOf) RoundTrip(req *http.Request) (*http.Response, error) { return f(req), nil }
