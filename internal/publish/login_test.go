package publish

import (
	"errors"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/registry"
)

// A source in the store's own registry is read over the store's connection: with its login, or without one.
func TestLoginOfSources(t *testing.T) {
	plugintest.LoggedIn(t, "r.example.com", "s.example.com")
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

// A refused push gives the same advice as a refused read.
func TestIfDenied(t *testing.T) {
	t.Parallel()
	denied, down := errors.Join(registry.ErrDenied), errors.Join(registry.ErrUnavailable)
	for _, tc := range []struct {
		reason   string
		withheld bool
		failures []error
		want     string
	}{
		{"the login would have been needed", true, []error{down, denied}, "--plain-http r.example.com"},
		{"there was none to send", false, []error{denied}, "log in with 'docker login r.example.com'"},
		{"a login does not help there", true, []error{down}, ""},
	} {
		target := &target{withheld: tc.withheld, config: registry.Config{Location: v1alpha1.RegistryLocation{Host: "r.example.com"}}}
		err := target.ifDenied(tc.failures)
		if (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.reason, err, tc.want)
		}
	}
}
