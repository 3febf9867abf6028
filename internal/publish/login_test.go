package publish

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/registry"
)

// loggedIn writes docker's file with a login for some hosts, for this test alone.
func loggedIn(t *testing.T, hosts ...string) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(name, home)
	}
	t.Setenv("REGISTRY_AUTH_FILE", "")
	var auths []string
	for _, host := range hosts {
		auths = append(auths, `"`+host+`": {"auth": "`+base64.StdEncoding.EncodeToString([]byte("me:correct-horse"))+`"}`)
	}
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(`{"auths": {`+strings.Join(auths, ", ")+`}}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLogin(t *testing.T) {
	loggedIn(t, "r.example.com", "r.example.com:5000", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "127.0.0.1.example.com", "localhost.example.com")
	for name, tc := range map[string]struct {
		reason, url    string
		plain          []string
		sent, withheld bool
	}{
		"TLS":       {"what a login is stored for", "https://r.example.com/acme", nil, true, false},
		"Clear":     {"who writes the store's URL would choose", "http://r.example.com/acme", nil, false, true},
		"Asked":     {"the person chooses", "http://r.example.com/acme", []string{"r.example.com"}, true, false},
		"AskedPort": {"http's own port may be written", "http://r.example.com/acme", []string{"R.example.com:80"}, true, false},
		"Other":     {"another host was asked for", "http://r.example.com:5000", []string{"r.example.com"}, false, true},
		"Name":      {"it does not leave this machine", "http://localhost:5000", nil, true, false},
		"Loopback":  {"nor this", "http://127.0.0.1:5000", nil, true, false},
		"Six":       {"nor this", "http://[::1]:5000", nil, true, false},
		"LikeLocal": {"a host that begins so is another", "http://localhost.example.com", nil, false, true},
		"LikeLoop":  {"nor is this an address", "http://127.0.0.1.example.com", nil, false, true},
		"None":      {"no login to send", "http://none.example.com", nil, false, false},
	} {
		l, err := v1alpha1.ParseRegistryURL(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		config := registry.Config{Location: l}
		withheld, err := (&publishFlags{Flags: logins.Flags{PlainHosts: tc.plain}}).Stored(t.Context(), &config)
		if sent := config.Credential != (registry.Credential{}); err != nil || sent != tc.sent || withheld != tc.withheld {
			t.Errorf("%s: %s: sent %t, withheld %t, %v, want %t and %t", name, tc.reason, sent, withheld, err, tc.sent, tc.withheld)
		}
	}
}

// A source in the store's own registry is read as the store is: with a login or without one.
func TestLoginOfSources(t *testing.T) {
	loggedIn(t, "r.example.com", "s.example.com")
	store := registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: "r.example.com", Prefix: "acme"}}
	flags := &publishFlags{Flags: logins.Flags{PlainHosts: []string{"s.example.com"}}}
	for host, want := range map[string]bool{"r.example.com": false, "s.example.com": true} {
		o := &opener{flags: flags, target: &target{config: store}}
		t.Cleanup(o.close)
		c, err := o.client(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Location().PlainHTTP || c.Location().Prefix != "" {
			t.Errorf("%s: %+v, want plain HTTP and no prefix", host, c.Location())
		}
		config := registry.Config{Location: c.Location()}
		if _, err := flags.Stored(t.Context(), &config); err != nil || (config.Credential != registry.Credential{}) != want {
			t.Errorf("%s: a login is sent: %t, want %t", host, !want, want)
		}
	}
}

func TestLoginOfSecret(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	m.Spec.ArtifactStoreRef.Name = "acme"
	for name, tc := range map[string]struct {
		reason string
		url    string
		plain  []string
		says   string
	}{
		"TLS":   {"it goes encrypted", "https://r.example.com", nil, ""},
		"Clear": {"the store's URL may have been changed since the Secret was made", "http://r.example.com", nil, "the URL of store acme says http://, and the login of its Secret would be sent unencrypted: --plain-http r.example.com sends it"},
		"Asked": {"the person chooses", "http://r.example.com", []string{"r.example.com"}, ""},
		"Local": {"it does not leave this machine", "http://localhost", nil, ""},
	} {
		l, err := v1alpha1.ParseRegistryURL(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		err = (&publishFlags{Flags: logins.Flags{PlainHosts: tc.plain}}).logIn(t.Context(), &target{manifest: m, config: registry.Config{Location: l}}, true)
		if got := errors.Join(err); (got == nil) != (tc.says == "") || got != nil && got.Error() != tc.says {
			t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
		}
	}
}

// A registry of this machine may be sent a login, and can name any token server.
func TestLoginOfTokenServers(t *testing.T) {
	t.Parallel()
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://tokens.invalid/token",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(r.Close)
	for name, tc := range map[string]struct {
		reason string
		cred   registry.Credential
		plain  []string
		says   string
	}{
		"Password": {"it is sent in a header", registry.Credential{Username: "me", Password: "correct-horse"}, nil, "the registry wants the login sent unencrypted to http://tokens.invalid: --plain-http tokens.invalid sends it"},
		"Token":    {"it is sent in a form", registry.Credential{IdentityToken: "correct-horse"}, nil, "the registry wants the login sent unencrypted to http://tokens.invalid: --plain-http tokens.invalid sends it"},
		"Asked":    {"then it is tried", registry.Credential{Username: "me", Password: "correct-horse"}, []string{"tokens.invalid"}, "unavailable"},
	} {
		flags := &publishFlags{Flags: logins.Flags{PlainHosts: tc.plain}}
		c, err := registry.Open(registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: r.Listener.Addr().String()}, Credential: tc.cred, Transport: flags.Guard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		err = c.Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), tc.says) || tc.plain != nil && strings.Contains(err.Error(), "--plain-http") {
			t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
		}
	}
}

func TestDeniedWithheld(t *testing.T) {
	t.Parallel()
	denied, down := errors.Join(registry.ErrDenied), errors.Join(registry.ErrUnavailable)
	for _, tc := range []struct {
		reason   string
		withheld bool
		failures []error
		want     bool
	}{
		{"the login would have been needed", true, []error{down, denied}, true},
		{"there was none to send", false, []error{denied}, false},
		{"a login does not help there", true, []error{down}, false},
	} {
		target := &target{withheld: tc.withheld, config: registry.Config{Location: v1alpha1.RegistryLocation{Host: "r.example.com"}}}
		err := target.deniedWithheld(tc.failures)
		if (err != nil) != tc.want || err != nil && !strings.Contains(err.Error(), "--plain-http r.example.com") {
			t.Errorf("%s: %v, want one: %t", tc.reason, err, tc.want)
		}
	}
}
