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
	// Credential is sent to Location's host, and to the token server that it names, only.
	// Zero: anonymous.
	Credential credential.Credential
	// TokenFile, when not empty, is the file that the credential is read from instead, whenever a login is needed: a
	// token of a ServiceAccount, which is renewed.
	TokenFile string
	// Token, when not nil, returns the credential instead, whenever a login is needed: a token for the cluster's own
	// registry. It may be called concurrently.
	Token func(context.Context) (string, error)
	// CABundle is PEM. When not empty the registry's certificate must chain to it, and the
	// system's roots do not count.
	CABundle []byte
	// Addresses says to which addresses the client connects. Default: AnyAddress.
	Addresses Addresses
	// Transport, when not nil, wraps the transport below the retries: it sees every request
	// as it goes out, token requests included.
	Transport func(http.RoundTripper) http.RoundTripper
	// Budget bounds the memory of what is read, together with all other clients that have it. Default: one of the
	// client's own.
	Budget *Budget
	// Tenant is whose part of the budget the client uses. Default: the host of Location.
	Tenant string
	// SecondLook replaces the time of that name. Default: SecondLook. It is for tests.
	SecondLook time.Duration
	// BodyTimeout replaces how long the body of one answer may take. Default: 1 minute. It is for tests.
	BodyTimeout time.Duration
}

// Client sends requests to one store's registry and reads the answers. It is safe for concurrent use.
type Client struct {
	// Location is what the client was opened for.
	Location v1alpha1.RegistryLocation
	// Auth sends calls, and Blobs what takes as long as it takes. Both log in.
	Auth, Blobs *auth.Client

	transports transports
	secrets    *secrets
	absences   *absences
	budget     *Budget
	tenant     string // whose part of the budget it uses
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

// Close lets idle connections go. It can be used afterwards.
func (c *Client) Close() {
	c.transports.calls.CloseIdleConnections()
	c.transports.blobs.CloseIdleConnections()
}
