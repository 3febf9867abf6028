package wire_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// tokenRegistry returns a client of a registry that requires a bearer token, and then answers with answer.
func tokenRegistry(t *testing.T, cred registry.Credential, token string, answer http.HandlerFunc) *registry.Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) { say(w, token) })
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}, Credential: cred})
}

func TestNoTokenInErrors(t *testing.T) {
	t.Parallel()
	const token, refresh = "eyJhbGciOiJub25lIn0.hidden/token+1", "hidden-refresh-token"
	both := fmt.Sprintf(`{"token": %q, "refresh_token": %q}`, token, refresh)
	fails := func(text func(*http.Request) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			registrytest.Fail(w, http.StatusBadRequest, "DENIED", text(r)+" after")
		}
	}
	for name, tc := range map[string]struct {
		reason, token string
		cred          registry.Credential
		text          func(*http.Request) string
	}{
		"Token":    {"it was sent, and comes back", both, registry.Credential{Username: "acme", Password: password}, func(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") }},
		"Header":   {"with its scheme", both, registry.Credential{}, func(r *http.Request) string { return r.Header.Get("Authorization") }},
		"Access":   {"under its other name", fmt.Sprintf(`{"access_token": %q}`, token), registry.Credential{IdentityToken: "identity-horse"}, func(*http.Request) string { return token }},
		"Escaped":  {"in a query", both, registry.Credential{}, func(*http.Request) string { return "eyJhbGciOiJub25lIn0.hidden%2Ftoken%2B1" }},
		"Refresh":  {"one that was fetched and never sent", both, registry.Credential{}, func(*http.Request) string { return refresh }},
		"Another":  {"somebody else's", both, registry.Credential{}, func(*http.Request) string { return "got Authorization: bearer hidden.hidden.hidden==, sorry" }},
		"AnotherB": {"somebody else's login", both, registry.Credential{}, func(*http.Request) string { return "got Basic hiddenhiddenhidden==" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tokenRegistry(t, tc.cred, tc.token, fails(tc.text))
			_, err := c.Tags(t.Context(), "app")
			if !errors.Is(err, registry.ErrDenied) || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "[redacted]") || !strings.Contains(err.Error(), "after") {
				t.Errorf("%s: %v, want the registry's text without the token", tc.reason, err)
			}
		})
	}
}

// A very short token must not be redacted, because the text of errors would become unreadable.
func TestShortTokens(t *testing.T) {
	t.Parallel()
	c := tokenRegistry(t, registry.Credential{}, `{"token": "e"}`, func(w http.ResponseWriter, _ *http.Request) {
		registrytest.Fail(w, http.StatusBadRequest, "DENIED", "the reason")
	})
	if _, err := c.Tags(t.Context(), "app"); err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("%v, want the reason", err)
	}
}

func TestNoControlCharactersInErrors(t *testing.T) {
	t.Parallel()
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		say(w, `{"errors": [{"code": "DENIED", "message": "no\u001b[2J\u001b]0;title\u0007\u202egnol\u2066\u200f\u009b31m\rok"}]}`)
	}))
	_, err := c.Tags(t.Context(), "app")
	if err == nil || !strings.Contains(err.Error(), "no?[2J?]0;title?gnol?31m?ok") {
		t.Errorf("%v, want a text that can be shown", err)
	}
}

func TestOnlyTheRegistrysOwnText(t *testing.T) {
	t.Parallel()
	const internal = "root:x:0:0"
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		registrytest.Fail(w, http.StatusBadRequest, "DENIED", internal)
	}))
	t.Cleanup(elsewhere.Close)
	for name, tc := range map[string]struct {
		reason string
		answer http.HandlerFunc
		shown  bool
	}{
		"Own": {"it is the registry's", func(w http.ResponseWriter, _ *http.Request) {
			registrytest.Fail(w, http.StatusBadRequest, "DENIED", internal)
		}, true},
		"Redirect": {"it leads to an internal service", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, false},
		"Realm": {"so does its token server", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+elsewhere.URL+`",service="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, false},
	} {
		c := serve(t, tc.answer)
		for _, ask := range []func() error{
			func() error { _, err := c.Tags(t.Context(), "app"); return err },
			func() error { _, err := c.Source(t.Context(), "app", "1.0.0"); return err },
			func() error { return c.Ping(t.Context()) },
		} {
			err := ask()
			if err == nil || strings.Contains(err.Error(), internal) != tc.shown || !strings.Contains(err.Error(), "400") {
				t.Errorf("%s: %s: %v, want its status, and its text: %t", name, tc.reason, err, tc.shown)
			}
		}
	}
}

// A service that is not a registry may announce its name and version. Errors must not show them.
func TestNoBanners(t *testing.T) {
	t.Parallel()
	for name, banner := range map[string]string{
		"SSH":    "SSH-2.0-hidden_9.6p1 Ubuntu\r\n",
		"Status": "HTTP/1.1 hidden\r\n\r\n",
		"Header": "HTTP/1.1 200 OK\r\nhidden\r\n\r\n",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write([]byte(banner))
				_ = conn.Close()
			}
		}()
		c := open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: listener.Addr().String()}})
		if err := c.Ping(t.Context()); !errors.Is(err, registry.ErrUnavailable) || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%s: %v, want ErrUnavailable without the banner", name, err)
		}
	}
}
