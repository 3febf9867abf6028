package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/admin"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// ConfigOf returns the configuration of a store's registry: the location of its URL, its caBundle,
// and the login in the Secret, which is nil if the store references none. For a store in the
// cluster's own registry, URL and CA bundle are those of its status, and there is no login. It
// sends nothing. Errors wrap v1alpha1.ErrRegistryURL, ErrCredentials or ErrNoClusterRegistry.
func ConfigOf(s *v1alpha1.ArtifactStore, secret *corev1.Secret) (Config, error) {
	l, err := s.Location()
	if err != nil {
		return Config{}, err
	}
	if s.InClusterRegistry() {
		if s.Status.URL == "" {
			return Config{}, wire.NoClusterRegistry()
		}
		if l, err = v1alpha1.ParseRegistryURL(s.Status.URL); err != nil {
			return Config{}, fmt.Errorf("reading status.url: %w", err)
		}
		return Config{Location: l, CABundle: s.Status.CABundle, Tenant: s.Namespace}, nil
	}
	cfg := Config{Location: l, CABundle: s.Spec.Registry.CABundle, Tenant: s.Namespace}
	if secret != nil {
		cfg.Credential, err = credential.FromSecret(secret, l)
	}
	return cfg, err
}

// Client speaks to one store's registry. It is safe for concurrent use.
type Client struct {
	admin.Routes
	wire     *wire.Client
	lists    listSupport               // whether the registry has a list of image manifests; see List
	tookMore atomic.Pointer[time.Time] // when a DELETE of a tag first deleted more than the tag; see Trial
}

// Open makes a client. It sends nothing. Errors wrap ErrConfig.
func Open(cfg Config) (*Client, error) {
	w, err := wire.Open(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{Routes: admin.Of(w), wire: w}, nil
}

// Close closes idle connections. The client stays usable.
func (c *Client) Close() { c.wire.Close() }

// Location returns the location that the client was opened for.
func (c *Client) Location() v1alpha1.RegistryLocation { return c.wire.Location }

// Ping requests the base of the API, GET /v2/, which tests the address, TLS and the
// login. It only reads. It does not test whether the credential may push or delete.
func (c *Client) Ping(ctx context.Context) error {
	resp, err := c.wire.Send(ctx, wire.Request{Method: http.MethodGet, Path: "/v2/"})
	switch {
	case errors.Is(err, failure.ErrUnproven):
		return fmt.Errorf("reaching %s: %w", c.wire.Location.Host, c.wire.Fail(ErrUnavailable, errors.New("no registry API at this host")))
	case err != nil:
		return fmt.Errorf("reaching %s: %w", c.wire.Location.Host, err)
	}
	defer wire.Discard(resp)
	if wire.IsHTML(resp.Header) {
		return fmt.Errorf("reaching %s: %w", c.wire.Location.Host, c.wire.Fail(ErrUnavailable, errors.New("a web page answers, not a registry")))
	}
	return nil
}
