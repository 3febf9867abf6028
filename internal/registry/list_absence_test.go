package registry_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// notAList are the answers that a registry without a list gives, and that anything else may give in place of a registry.
func notAList() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"not found":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"bad request": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"not allowed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"login":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"forbidden":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"page":        func(w http.ResponseWriter, _ *http.Request) { html(http.StatusOK)(w, nil) },
		"error page":  func(w http.ResponseWriter, _ *http.Request) { html(http.StatusNotFound)(w, nil) },
	}
}

// wantsWrongAnswer checks the error for an answer that a registry with a list does not give.
func wantsWrongAnswer(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrUnsupported) || errors.Is(err, registry.ErrDenied) {
		t.Errorf("%v, want ErrUnavailable alone", err)
	}
}

// A proxy in front of a registry that has the list may answer in its place.
func TestI2ListThatWasReadMustGoOnAnswering(t *testing.T) {
	t.Parallel()
	for name, wrong := range notAList() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if broken.Load() {
					wrong(w, r)
					return
				}
				say(w, listing(listedAt(digestA, "")))
			}))
			if _, err := c.List(t.Context(), "app"); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			_, err := c.List(t.Context(), "app")
			wantsWrongAnswer(t, err)
			broken.Store(false)
			if listed, err := c.List(t.Context(), "app"); err != nil || len(listed) != 1 {
				t.Errorf("once the registry answers itself: %v, %v; want one manifest", listed, err)
			}
		})
	}
}

func TestI2ListOfAzureIsNeverUnsupported(t *testing.T) {
	t.Parallel()
	for name, wrong := range notAList() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			r := registrytest.Start(t)
			r.ServeACR()
			push(t, r.Host, "app", "1.0.0", "a")
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if broken.Load() {
					wrong(w, req)
				}
				return broken.Load()
			})
			for _, host := range []string{"acme.azurecr.io", "acme.AzureCR.cn:443", "acme-abc123.azurecr.us"} {
				c := open(t, registry.Config{
					Location:  v1alpha1.RegistryLocation{PlainHTTP: true, Host: host},
					Transport: func(base http.RoundTripper) http.RoundTripper { return &sentTo{base, r.Host} },
				})
				broken.Store(true)
				_, err := c.List(t.Context(), "app")
				wantsWrongAnswer(t, err)
				broken.Store(false)
				if listed, err := c.List(t.Context(), "app"); err != nil || len(listed) != 1 {
					t.Errorf("%s: once the registry answers itself: %v, %v; want one manifest", host, listed, err)
				}
			}
		})
	}
}

// sentTo sends all requests to one host.
type sentTo struct {
	base http.RoundTripper
	host string
}

func (s *sentTo) RoundTrip(req *http.Request) (*http.Response, error) {
	to := req.Clone(req.Context())
	to.URL = &url.URL{Scheme: "http", Host: s.host, Path: req.URL.Path, RawQuery: req.URL.RawQuery}
	return s.base.RoundTrip(to)
}

// A name that only contains Azure's, and any other host, may have no list.
func TestListOfOtherHostsMayBeUnsupported(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	for _, host := range []string{"azurecr.io.example.com", "myazurecr.io", "r.example"} {
		c := open(t, registry.Config{
			Location:  v1alpha1.RegistryLocation{PlainHTTP: true, Host: host},
			Transport: func(base http.RoundTripper) http.RoundTripper { return &sentTo{base, r.Host} },
		})
		if _, err := c.List(t.Context(), "app"); !errors.Is(err, registry.ErrUnsupported) || !strings.Contains(err.Error(), host) {
			t.Errorf("%v, want ErrUnsupported of %s", err, host)
		}
	}
}

// quick opens a client of a handler, for which absences settle at once.
func quick(t *testing.T, h http.HandlerFunc) *registry.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}, SecondLook: time.Nanosecond})
}

func TestI2OneAnswerDoesNotProveThatThereIsNoList(t *testing.T) {
	t.Parallel()
	for name, wrong := range notAList() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			c := quick(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 2 {
					say(w, listing(listedAt(digestA, "")))
					return
				}
				wrong(w, r)
			})
			if _, err := c.List(t.Context(), "app"); !errors.Is(err, registry.ErrUnsupported) {
				t.Fatalf("%v, want ErrUnsupported", err)
			}
			if listed, err := c.List(t.Context(), "app"); err != nil || len(listed) != 1 {
				t.Errorf("after one wrong answer: %v, %v; want one manifest", listed, err)
			}
			_, err := c.List(t.Context(), "app")
			wantsWrongAnswer(t, err)
		})
	}
}

func TestTwoAnswersProveThatThereIsNoList(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	c := quick(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusNotFound)
	})
	for range 5 {
		if _, err := c.List(t.Context(), "app"); !errors.Is(err, registry.ErrUnsupported) {
			t.Errorf("%v, want ErrUnsupported", err)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}
