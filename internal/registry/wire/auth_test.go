package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const password = "correct-horse"

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t, registrytest.BasicAuth("acme", password))
	rows := map[string]struct {
		reason string
		cred   registry.Credential
		want   error
	}{
		"right":     {"it is the login", registry.Credential{Username: "acme", Password: password}, nil},
		"wrong":     {"it is not", registry.Credential{Username: "acme", Password: "wrong-horse"}, registry.ErrDenied},
		"anonymous": {"the registry asks for one", registry.Credential{}, registry.ErrDenied},
		"token":     {"a token is not an answer to a basic challenge", registry.Credential{IdentityToken: "identity-horse"}, registry.ErrDenied},
	}
	for name, row := range rows {
		c := open(t, registry.Config{Location: r.Location(""), Credential: row.cred})
		for act, err := range map[string]error{"Ping": c.Ping(t.Context()), "Untag": c.Untag(t.Context(), "app", "1.0.0")} {
			if !errors.Is(err, row.want) {
				t.Errorf("%s: %s: %v, want %v: %s", name, act, err, row.want, row.reason)
			}
			registrytest.NoSecret(t, err, row.cred)
		}
	}
}

func TestBearerAuth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	desc := push(t, registrytest.Start(t, registrytest.InDir(dir)).Host, "acme/app")
	r := registrytest.Start(t, registrytest.InDir(dir), registrytest.BearerAuth("acme", password))
	c := open(t, registry.Config{Location: r.Location("acme"), Credential: registry.Credential{Username: "acme", Password: password}})

	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resolve(t.Context(), "acme/app", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := c.Resolve(t.Context(), "acme/app", "1.0.0"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := c.Untag(t.Context(), "acme/app", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutTag(t.Context(), "acme/app", "1.0.0", desc.Digest); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, scope := range r.Tokens.Scopes() {
		counts[scope]++
	}
	want := map[string]int{"": 1, "repository:acme/app:pull": 1, "repository:acme/app:delete": 1, "repository:acme/app:pull,push": 1}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("tokens fetched, each once and no wider than needed: -want +got\n%s", diff)
	}

	wrong := registry.Credential{Username: "acme", Password: "wrong-horse"}
	_, err := open(t, registry.Config{Location: r.Location("acme"), Credential: wrong}).Resolve(t.Context(), "acme/app", "1.0.0")
	if !errors.Is(err, registry.ErrDenied) {
		t.Errorf("wrong password: %v, want ErrDenied", err)
	}
	registrytest.NoSecret(t, err, wrong)
}

func TestTokenServerFaults(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		answer http.HandlerFunc
		want   error
	}{
		"down":     {"it will be back", status(http.StatusServiceUnavailable), registry.ErrUnavailable},
		"refuses":  {"the login is wrong", status(http.StatusForbidden), registry.ErrDenied},
		"unknown":  {"must not be taken for a missing artifact", http.NotFound, registry.ErrDenied},
		"no token": {"it is not a token server", func(w http.ResponseWriter, _ *http.Request) { say(w, "{}") }, registry.ErrDenied},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.Handle("/token", row.answer)
			mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="registry"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			if err := serve(t, mux).Untag(t.Context(), "app", "1.0.0"); !errors.Is(err, row.want) {
				t.Errorf("Untag: %v, want %v: %s", err, row.want, row.reason)
			}
		})
	}
}

func TestNoSecretInErrors(t *testing.T) {
	t.Parallel()
	cred := registry.Credential{Username: "acme", Password: "p@ss/word with=all"}
	rows := map[string]struct {
		reason string
		answer http.HandlerFunc
	}{
		"echo": {"a registry may repeat what it was sent", func(w http.ResponseWriter, r *http.Request) {
			user, pass, _ := r.BasicAuth()
			registrytest.Fail(w, http.StatusBadRequest, "DENIED", user+" "+pass+" "+r.Header.Get("Authorization"))
		}},
		"user info": {"or send us to a URL with a user", func(w http.ResponseWriter, _ *http.Request) {
			registrytest.Fail(w, http.StatusBadGateway, "UNKNOWN", "see https://bob:hidden@inner/x?X-Signature=hidden")
		}},
		"redirect": {"or to a signed one that fails", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://bob:hidden@127.0.0.1:1/blob?X-Signature=hidden", http.StatusTemporaryRedirect)
		}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "" {
					w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				row.answer(w, r)
			}))
			t.Cleanup(server.Close)
			c := open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}, Credential: cred})
			_, err := c.Tags(t.Context(), "app")
			if err == nil {
				t.Fatal("no error")
			}
			registrytest.NoSecret(t, err, cred)
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s: %v", row.reason, err)
			}
		})
	}
	marshalled, err := json.Marshal(map[string]any{"cred": cred})
	if got := fmt.Sprintf("%v %+v %#v %s", cred, cred, cred, marshalled); err != nil || strings.Contains(got, "p@ss") {
		t.Errorf("a credential prints as %s (%v)", got, err)
	}
}

func TestRedirectsCarryNoCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	desc := push(t, registrytest.Start(t, registrytest.InDir(dir)).Host, "app")
	storage := registrytest.Start(t, registrytest.InDir(dir))
	r := registrytest.Start(t, registrytest.BasicAuth("acme", password))
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		_, _, ok := req.BasicAuth()
		if ok {
			http.Redirect(w, req, storage.URL("")+req.URL.Path, http.StatusTemporaryRedirect)
		}
		return ok
	})
	c := open(t, registry.Config{Location: r.Location(""), Credential: registry.Credential{Username: "acme", Password: password}})

	if _, err := c.Manifest(t.Context(), "app", desc.Digest); err != nil {
		t.Errorf("a read follows: %v", err)
	}
	if err := c.Untag(t.Context(), "app", "1.0.0"); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("Untag: %v, want ErrUnavailable: a write does not follow (I9)", err)
	}
	var answer *errcode.ErrorResponse
	if err := c.Delete(t.Context(), "app", desc.Digest); !errors.As(err, &answer) || answer.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("Delete: %v, want the redirect as detail", err)
	}
	if n := storage.Writes(); n != 0 {
		t.Errorf("%d writes followed a redirect, want none", n)
	}
	if n := storage.Count(func(req *http.Request) bool { return req.Header.Get("Authorization") != "" }); n != 0 {
		t.Errorf("%d requests carried credentials to another origin, want none", n)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	r, c := start(t, registrytest.TLS())
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	err := open(t, registry.Config{Location: r.Location("")}).Ping(t.Context())
	if !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its CA: %v, want ErrUnavailable that says certificate", err)
	}
	plain := r.Location("")
	plain.PlainHTTP = true
	if err := open(t, registry.Config{Location: plain}).Untag(t.Context(), "app", "1.0.0"); err == nil || errors.Is(err, registry.ErrNotFound) {
		t.Errorf("plain HTTP to a TLS port: %v, want an error that is not ErrNotFound", err)
	}
}
