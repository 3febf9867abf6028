package wire

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// Config says how to reach one store's registry.
type Config struct {
	// Location is scheme, host and prefix. Calls for repositories outside the prefix fail.
	Location v1alpha1.RegistryLocation
	// Credential is sent only to Location's host and to the token server that this host names. Zero: anonymous.
	Credential credential.Credential
	// TokenFile, when not empty, replaces Credential: it has a token of a ServiceAccount
	// and is read whenever a login is needed, because the kubelet renews the token.
	TokenFile string
	// Token, when not nil, replaces Credential: it returns a token for the cluster's own registry,
	// and is called whenever a login is needed. Calls may be concurrent. TokenFile has precedence.
	Token func(context.Context) (string, error)
	// CABundle is PEM. If it is not empty, the registry's certificate
	// must chain to it, and the system's roots do not count.
	CABundle []byte
	// Addresses says to which addresses the client connects. Default: AnyAddress.
	Addresses Addresses
	// Transport, when not nil, wraps the transport below the retries:
	// it sees every request that is sent, token requests included.
	Transport func(http.RoundTripper) http.RoundTripper
	// Budget bounds the memory of reading answers, together with all other
	// clients of the same budget. Default: a separate budget for this client.
	Budget *Budget
	// Tenant is the tenant whose part of the budget the client uses. Default: the host of Location.
	Tenant string
	// SecondLook replaces failure.SecondLook, which is the default. It is for tests.
	SecondLook time.Duration
	// BodyTimeout replaces how long the body of one answer may take. Default: 1 minute. It is for tests.
	BodyTimeout time.Duration
}

// Client sends requests to one store's registry and reads the answers. It is safe for concurrent use.
type Client struct {
	// Location is the location that the client was opened for.
	Location v1alpha1.RegistryLocation
	// Auth sends calls, and Blobs sends transfers without a time limit. Both log in.
	Auth, Blobs *auth.Client

	transports transports
	secrets    *secrets
	absences   *absences
	budget     *Budget
	tenant     string // the tenant whose part of the budget the client uses
	// bodyTimeout bounds how long the body of one answer may take.
	bodyTimeout time.Duration
}

// Open makes a client. It sends nothing. Errors wrap ErrConfig.
func Open(cfg Config) (*Client, error) {
	host := oras.Reference{Registry: cfg.Location.Host}
	if err := host.ValidateRegistry(); err != nil || cfg.Location.Host == "" {
		return nil, fmt.Errorf("opening a registry: %w: its location has no valid host", failure.ErrConfig)
	}
	transports, err := newTransports(cfg.CABundle, cfg.Addresses)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", cfg.Location.Host, err)
	}
	secrets := newSecrets(cfg.Credential)
	calls := &auth.Client{
		Client:     newHTTPClient(transports.calls, cfg.Transport, secrets, callTimeout),
		Header:     http.Header{"User-Agent": {"nfo"}},
		Cache:      newTokenCache(),
		ClientID:   "nfo",
		Credential: auth.StaticCredential(cfg.Location.Host, cfg.Credential.Oras()),
	}
	token := cfg.Token
	if cfg.TokenFile != "" {
		token = tokenFile(cfg.TokenFile)
	}
	if token != nil {
		calls.Credential = tokenLogin(token, cfg.Location.Host, secrets)
	}
	blobs := *calls
	blobs.Client = newHTTPClient(transports.blobs, cfg.Transport, secrets, 0)
	budget := cfg.Budget
	if budget == nil {
		budget = NewBudget(1)
	}
	return &Client{
		Location: cfg.Location, Auth: calls, Blobs: &blobs, transports: transports, secrets: secrets,
		absences: newAbsences(cmp.Or(cfg.SecondLook, failure.SecondLook)),
		budget:   budget, tenant: cmp.Or(cfg.Tenant, cfg.Location.Host), bodyTimeout: cmp.Or(cfg.BodyTimeout, bodyTimeout),
	}, nil
}

// Close closes idle connections. The client can be used afterwards.
func (c *Client) Close() {
	c.transports.calls.CloseIdleConnections()
	c.transports.blobs.CloseIdleConnections()
}
