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
	// maxOrigins is how many origins a client is kept of.
	maxOrigins = 64
	// maxAuthorities is how much of a file with certificate authorities is read, in bytes.
	maxAuthorities = 1 << 20
)

var (
	errMissing = errors.New("it does not have this")
	errSelf    = fmt.Errorf("%w: this is a loopback address, at which the agents of nodes answer", errMissing)
)

// origins asks the registries that images are from.
type origins struct {
	o       Options
	clients *lru.Cache[string, *originClient]
}

// originClient is for one host, as long as its authorities are the same.
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

// ask asks the origin with the login that a request offers, or with none. Errors wrap errMissing where it does not have
// the image, and what registry.Client.Pass says.
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

// isSelf reports whether an origin is an agent, by this node's loopback address: it would ask itself for ever.
func (s *origins) isSelf(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != strconv.Itoa(s.o.Port) {
		return false
	}
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

// loginOf is what the node offers to the origin.
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

// client returns a client for a host, and what to do when the answer has ended. One with a login is for one request.
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

// authorities are those of one origin; nil for the system's.
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
