package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// maxOrigins bounds the origins whose client is kept.
	maxOrigins = 64
	// maxAuthorities is the maximum size of a file with certificate authorities, in bytes.
	maxAuthorities = 1 << 20
)

var (
	errMissing = errors.New("it does not have this")
	errSelf    = fmt.Errorf("%w: this is a loopback address, at which the agents of nodes answer", errMissing)
)

// origins sends requests to the registries that images come from.
type origins struct {
	o       Options
	clients *lru.Cache[string, *originClient]
}

// originClient is the client of one host. It is used while the certificate authorities of the host stay the same.
type originClient struct {
	client      *registry.Client
	authorities string
}

func newOrigins(o Options) (*origins, error) {
	clients, err := lru.NewWithEvict(maxOrigins, func(_ string, c *originClient) { c.client.Close() })
	if err != nil {
		return nil, fmt.Errorf("keeping clients of registries: %w", err)
	}
	return &origins{o: o, clients: clients}, nil
}

// ask requests an object from the origin, with the login in the request or with none. Errors wrap errMissing if the
// origin does not have it, or are those of registry.Client.Pass.
func (s *origins) ask(r *http.Request, asked ask, until time.Time) (*answer, error) {
	if s.isSelf(asked.image.Host) {
		return nil, errSelf
	}
	c, done, err := s.client(asked.image.Host, loginOf(r))
	if err != nil {
		return nil, err
	}
	got, err := within(r.Context(), time.Until(until), func(ctx context.Context) (*http.Response, error) {
		return c.Pass(ctx, asked.method, asked.image.Repository, asked.what(), onward(r, asked))
	})
	if err != nil {
		done()
		return nil, err
	}
	got.then(done)
	got.body = &paced{body: got.body, end: got.end, stall: s.o.Stall}
	if got.ok() {
		return got, nil
	}
	got.close()
	switch got.status {
	case http.StatusNotFound:
		return nil, errMissing
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%w: it answers %d %s, and the node has offered no login that it accepts", registry.ErrDenied, got.status, http.StatusText(got.status))
	}
	return nil, fmt.Errorf("%w: it answers %d %s", registry.ErrUnavailable, got.status, http.StatusText(got.status))
}

// isSelf reports whether an origin is the agent itself, at a loopback address of
// this node. The agent would otherwise send requests to itself without end.
func (s *origins) isSelf(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != strconv.Itoa(s.o.Port) {
		return false
	}
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

// loginOf returns the login that the node sends for the origin.
func loginOf(r *http.Request) registry.Credential {
	if user, password, ok := r.BasicAuth(); ok {
		return registry.Credential{Username: user, Password: password}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return registry.Credential{RegistryToken: strings.TrimSpace(token)}
	}
	return registry.Credential{}
}

// client returns a client for a host, and a function to call when the
// answer has ended. A client with a login is used for one request only.
func (s *origins) client(host string, login registry.Credential) (c *registry.Client, done func(), err error) {
	authorities, err := s.authorities(host)
	if err != nil {
		return nil, nil, err
	}
	anonymous := login == registry.Credential{}
	if anonymous {
		if kept, ok := s.clients.Get(host); ok && kept.authorities == string(authorities) {
			return kept.client, func() {}, nil
		}
	}
	c, err = registry.Open(registry.Config{
		Location:   v1alpha1.RegistryLocation{Host: host, PlainHTTP: slices.Contains(s.o.PlainHTTP, host)},
		Credential: login, CABundle: authorities, Addresses: s.o.Addresses,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("asking %s: %w", host, err)
	}
	if anonymous {
		s.clients.Add(host, &originClient{c, string(authorities)})
		return c, func() {}, nil
	}
	return c, c.Close, nil
}

// authorities returns the certificate authorities for one origin; nil for the system's.
func (s *origins) authorities(host string) ([]byte, error) {
	if s.o.Authorities == "" {
		return nil, nil
	}
	name := strings.Replace(host, ":", "_", 1) + ".crt" // a host has no slash
	content, err := readBounded(filepath.Join(s.o.Authorities, name), maxAuthorities)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the certificate authorities of %s: %w", host, err)
	}
	return content, nil
}
