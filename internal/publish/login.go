package publish

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

// login gives a registry's configuration the login that the person has for its host, if there is one. A login
// that would be sent in clear is withheld, and the registry is spoken to without one.
func (f *publishFlags) login(ctx context.Context, config *registry.Config) (withheld bool, err error) {
	found, err := credential.OfUser(ctx, config.Location.Host)
	switch {
	case err != nil:
		return false, err
	case found == registry.Credential{}:
		return false, nil
	case f.inClear(config.Location):
		return true, nil
	}
	config.Credential = found
	config.Transport = f.guard
	return false, nil
}

// inClear reports whether a login for a location would be sent unencrypted without having been asked for: over
// plain HTTP, neither to this machine nor to a host of --plain-http.
func (f *publishFlags) inClear(l v1alpha1.RegistryLocation) bool {
	return l.InClear() && !slices.ContainsFunc(f.plainHosts, func(host string) bool { return sameHost(host, l.Host) })
}

// sameHost reports whether two hosts of plain HTTP are written forms of one.
func sameHost(a, b string) bool {
	l, errA := v1alpha1.ParseRegistryURL("http://" + a)
	m, errB := v1alpha1.ParseRegistryURL("http://" + b)
	return errA == nil && errB == nil && l.Same(m)
}

// withheldLogin says why a login was not sent, and what to do.
func withheldLogin(host string) string {
	return fmt.Sprintf("your login for %s was not sent, because the URL of the store says http:// and it would go unencrypted: --plain-http %s sends it", host, host)
}

// guard is a transport that carries no login in clear without having been asked for: a registry also names
// the host of its token server, which then gets the login.
func (f *publishFlags) guard(base http.RoundTripper) http.RoundTripper { return &loginGuard{base, f} }

type loginGuard struct {
	http.RoundTripper
	flags *publishFlags
}

// RoundTrip fails without sending a request that carries a login in clear. A form is how a token server is
// sent one.
func (g *loginGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	login := req.Header.Get("Authorization") != "" || req.Header.Get("Content-Type") == "application/x-www-form-urlencoded"
	if login && g.flags.inClear(v1alpha1.RegistryLocation{PlainHTTP: req.URL.Scheme == "http", Host: req.URL.Host}) {
		if req.Body != nil {
			_ = req.Body.Close() // as a RoundTripper must
		}
		return nil, fmt.Errorf("the registry wants the login sent unencrypted to http://%s: --plain-http %s sends it", req.URL.Host, req.URL.Host)
	}
	return g.RoundTripper.RoundTrip(req)
}
