package logins_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/registry"
)

func TestStored(t *testing.T) {
	plugintest.LoggedIn(t, "r.example.com", "r.example.com:5000", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "127.0.0.1.example.com", "localhost.example.com")
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
		withheld, err := (&logins.Flags{PlainHosts: tc.plain}).Stored(t.Context(), &config)
		if sent := config.Credential != (registry.Credential{}); err != nil || sent != tc.sent || withheld != tc.withheld {
			t.Errorf("%s: %s: sent %t, withheld %t, %v, want %t and %t", name, tc.reason, sent, withheld, err, tc.sent, tc.withheld)
		}
	}
}

// A registry on this machine may be sent a login, but may name another host as its token server.
func TestGuardOfTokenServers(t *testing.T) {
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
		flags := &logins.Flags{PlainHosts: tc.plain}
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

func TestCheck(t *testing.T) {
	t.Parallel()
	for account, want := range map[string]bool{"": true, "ci": true, "build:ci": true, "build:": false, "../ci": false} {
		if err := (&logins.Flags{Account: account}).Check(); (err == nil) != want {
			t.Errorf("the account %q: %v, want it accepted: %t", account, err, want)
		}
	}
}

// A withheld login is not an error; the advice is given after a refusal by the registry.
func TestWithheldNamesTheFlag(t *testing.T) {
	t.Parallel()
	if got := logins.Withheld("r.example.com"); !strings.Contains(got, "--plain-http r.example.com sends it") {
		t.Error(got)
	}
}
