package wire_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const refused = "which this program "

// wantRefused fails if an error does not say that an address is refused.
func wantRefused(t *testing.T, about string, err error) {
	t.Helper()
	if !errors.Is(err, registry.ErrAddress) || !errors.Is(err, registry.ErrConfig) || errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), refused) {
		t.Errorf("%s: %v, want ErrAddress that says %q", about, err, refused)
	}
}

func TestRefusedAddresses(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { requests.Add(1); say(w, "{}") }))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	for name, host := range map[string]string{"Address": "127.0.0.1", "Name": "localhost", "Mapped": "[::ffff:127.0.0.1]", "Zero": "0.0.0.0"} {
		l := v1alpha1.RegistryLocation{PlainHTTP: true, Host: host + ":" + port}
		c := open(t, registry.Config{Location: l, Addresses: registry.RemoteAddresses})
		wantRefused(t, name+": Ping", c.Ping(t.Context()))
		wantRefused(t, name+": Untag", c.Untag(t.Context(), "app", "1.0.0"))
		_, err := c.Source(t.Context(), "app", "1.0.0")
		wantRefused(t, name+": Source", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests arrived, want none", n)
	}
	c := open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: "127.0.0.1:" + port}, Addresses: registry.RemoteAndLoopback})
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("where loopback is allowed: %v", err)
	}
}

func TestRefusedRedirects(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/", "http://0.0.0.0/", "http://224.0.0.1/"} {
		r := registrytest.Start(t)
		d := push(t, r.Host, "app")
		r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
			http.Redirect(w, req, to, http.StatusTemporaryRedirect)
			return true
		})
		c := open(t, registry.Config{Location: r.Location(""), Addresses: registry.RemoteAndLoopback})
		_, err := c.Manifest(t.Context(), "app", d.Digest)
		wantRefused(t, to+": Manifest", err)
		_, err = c.Tags(t.Context(), "app")
		wantRefused(t, to+": Tags", err)
		wantRefused(t, to+": Ping", c.Ping(t.Context()))
	}
}

// Token servers are refused in the same way as redirects, also
// if oras-go takes the token server's name for the registry's.
func TestRefusedTokenServers(t *testing.T) {
	t.Parallel()
	for _, realm := range []string{"http://169.254.169.254/token", "http://[fe80::1]/token"} {
		c := open(t, registry.Config{Location: realmed(t, realm), Addresses: registry.RemoteAndLoopback, Credential: registry.Credential{Username: "acme", Password: password}})
		if err := c.Ping(t.Context()); !errors.Is(err, registry.ErrDenied) && !errors.Is(err, registry.ErrAddress) {
			t.Errorf("%s: %v, want ErrDenied or ErrAddress", realm, err)
		}
	}
}

// realmed returns the location of a registry that names a token server.
func realmed(t *testing.T, realm string) v1alpha1.RegistryLocation {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	return v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}
}
