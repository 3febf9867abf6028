package logins

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/token"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

// Flags are the flags for logins.
type Flags struct {
	// PlainHosts are hosts that use plain HTTP, and to which logins may be sent unencrypted.
	PlainHosts []string
	// Account is the ServiceAccount that logs in to the cluster's own registry; "" for none.
	Account string
	// Address is another address of that registry; "" for the one in the store's status.
	Address string
	// Config has the flags of the cluster.
	Config *genericclioptions.ConfigFlags
}

// Check refuses an invalid Account.
func (f *Flags) Check() error {
	if f.Account == "" {
		return nil
	}
	if _, err := token.ParseAccount(f.Account, "default"); err != nil {
		return plugin.Usage("%w", err)
	}
	return nil
}

// Stored sets the user's stored login for a registry's host, if
// there is one. It withholds a login that would be sent unencrypted.
func (f *Flags) Stored(ctx context.Context, config *registry.Config) (withheld bool, err error) {
	found, err := credential.OfUser(ctx, config.Location.Host)
	switch {
	case err != nil:
		return false, err
	case found == registry.Credential{}:
		return false, nil
	case f.InClear(config.Location):
		return true, nil
	}
	config.Credential = found
	config.Transport = f.Guard
	return false, nil
}

// InClear reports whether a login for a location would be sent unencrypted without
// permission: over plain HTTP, neither to this machine nor to one of PlainHosts.
func (f *Flags) InClear(l v1alpha1.RegistryLocation) bool {
	return l.InClear() && !slices.ContainsFunc(f.PlainHosts, func(host string) bool { return SameHost(host, l.Host) })
}

// SameHost reports whether two hosts are the same for plain HTTP.
func SameHost(a, b string) bool {
	l, errA := v1alpha1.ParseRegistryURL("http://" + a)
	m, errB := v1alpha1.ParseRegistryURL("http://" + b)
	return errA == nil && errB == nil && l.Same(m)
}

// Withheld says why a login was not sent, and what to do about it.
func Withheld(host string) string {
	return fmt.Sprintf("your login for %s was not sent, because the URL of the store says http:// and it would go unencrypted: --plain-http %s sends it", host, host)
}

// Guard returns a transport that sends no login unencrypted without permission. It is needed
// because a registry can name any host as its token server, which then gets the login.
func (f *Flags) Guard(base http.RoundTripper) http.RoundTripper { return &loginGuard{base, f} }

type loginGuard struct {
	http.RoundTripper
	flags *Flags
}

// RoundTrip refuses a request with a login that would be sent unencrypted. A login can be in a form for a token server too.
func (g *loginGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	login := req.Header.Get("Authorization") != "" || req.Header.Get("Content-Type") == "application/x-www-form-urlencoded"
	if login && g.flags.InClear(v1alpha1.RegistryLocation{PlainHTTP: req.URL.Scheme == "http", Host: req.URL.Host}) {
		if req.Body != nil {
			_ = req.Body.Close() // as a RoundTripper must
		}
		return nil, fmt.Errorf("the registry wants the login sent unencrypted to http://%s: --plain-http %s sends it", req.URL.Host, req.URL.Host)
	}
	return g.RoundTripper.RoundTrip(req)
}
