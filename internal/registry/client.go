package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Config says how to reach one store's registry.
type Config struct {
	// Location is scheme, host and prefix. Calls for repositories outside the prefix fail.
	Location v1alpha1.RegistryLocation
	// Credential is sent to Location's host, and to the token server that it names, only.
	// Zero: anonymous.
	Credential Credential
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

// ConfigOf is how to reach a store's registry: where its URL says, with its caBundle and the login
// in the Secret that it names; nil for none. A store in the cluster's own registry is reached as its status says, and
// without a login. It is pure. Errors wrap v1alpha1.ErrRegistryURL, ErrCredentials or ErrNoClusterRegistry.
func ConfigOf(s *v1alpha1.ArtifactStore, secret *corev1.Secret) (Config, error) {
	l, err := s.Location()
	if err != nil {
		return Config{}, err
	}
	if s.InClusterRegistry() {
		if s.Status.URL == "" {
			return Config{}, noClusterRegistry()
		}
		if l, err = v1alpha1.ParseRegistryURL(s.Status.URL); err != nil {
			return Config{}, fmt.Errorf("reading status.url: %w", err)
		}
		return Config{Location: l, CABundle: s.Status.CABundle, Tenant: s.Namespace}, nil
	}
	cfg := Config{Location: l, CABundle: s.Spec.Registry.CABundle, Tenant: s.Namespace}
	if secret != nil {
		cfg.Credential, err = CredentialFromSecret(secret, l)
	}
	return cfg, err
}

// Client speaks to one store's registry. It is safe for concurrent use.
type Client struct {
	location   v1alpha1.RegistryLocation
	auth       *auth.Client
	blobs      *auth.Client // without a limit of time; see Copy
	transports transports
	secrets    *secrets
	absences   *absences
	budget     *Budget
	tenant     string // whose part of the budget it uses
	// bodyTimeout bounds how long the body of one answer may take.
	bodyTimeout time.Duration
	unlisted    atomic.Bool               // the registry has said that it has no list; see List
	tookMore    atomic.Pointer[time.Time] // when a DELETE of a tag first took more than the tag; see Trial
}

// Open makes a client. It sends nothing. Errors wrap ErrConfig.
func Open(cfg Config) (*Client, error) {
	host := oras.Reference{Registry: cfg.Location.Host}
	if err := host.ValidateRegistry(); err != nil || cfg.Location.Host == "" {
		return nil, fmt.Errorf("opening a registry: %w: its location has no valid host", ErrConfig)
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
		Credential: auth.StaticCredential(cfg.Location.Host, cfg.Credential.oras()),
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
		location: cfg.Location, auth: calls, blobs: &blobs, transports: transports, secrets: secrets,
		absences: newAbsences(cmp.Or(cfg.SecondLook, SecondLook)),
		budget:   budget, tenant: cmp.Or(cfg.Tenant, cfg.Location.Host), bodyTimeout: cmp.Or(cfg.BodyTimeout, bodyTimeout),
	}, nil
}

// Close lets idle connections go. The client stays usable.
func (c *Client) Close() {
	c.transports.calls.CloseIdleConnections()
	c.transports.blobs.CloseIdleConnections()
}

// Location returns what the client was opened for.
func (c *Client) Location() v1alpha1.RegistryLocation { return c.location }

// Ping asks for the API's base, GET /v2/, and so tests address, TLS and login. It reads only.
// Whether the credential may push or delete shows when it does.
func (c *Client) Ping(ctx context.Context) error {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v2/"})
	switch {
	case errors.Is(err, errUnproven):
		return fmt.Errorf("reaching %s: %w", c.location.Host, c.fail(ErrUnavailable, errors.New("there is no registry API at this host")))
	case err != nil:
		return fmt.Errorf("reaching %s: %w", c.location.Host, err)
	}
	defer discard(resp)
	if isHTML(resp.Header) {
		return fmt.Errorf("reaching %s: %w", c.location.Host, c.fail(ErrUnavailable, errors.New("a web page answers, not a registry")))
	}
	return nil
}

// request is one request of the distribution API.
type request struct {
	method, path string
	header       http.Header
	body         []byte
	repository   oras.Reference
	actions      []string // what a token must allow on the repository
	about        subject
}

// send sends a request with authentication and returns an answer with a status of 2xx, which
// the caller closes.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	resp, err := c.do(ctx, r)
	if err == nil && !succeeded(resp) {
		defer discard(resp)
		return nil, c.answered(resp, r)
	}
	return resp, err
}

func succeeded(resp *http.Response) bool { return resp.StatusCode >= 200 && resp.StatusCode <= 299 }

// do sends a request with authentication and returns the answer, whatever its status. Its body is an answerBody.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	return c.doBy(ctx, c.auth, r)
}

// doBy is do by a client of its own: that of calls, or that of blobs.
func (c *Client) doBy(ctx context.Context, by *auth.Client, r request) (*http.Response, error) {
	scheme := "https"
	if c.location.PlainHTTP {
		scheme = "http"
	}
	if len(r.actions) > 0 {
		ctx = auth.AppendRepositoryScope(ctx, r.repository, r.actions...)
	}
	var body io.Reader = http.NoBody
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	host := oras.Reference{Registry: c.location.Host}.Host()
	ctx, end := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, r.method, scheme+"://"+host+r.path, body)
	if err != nil {
		end(err)
		return nil, c.fail(ErrConfig, err)
	}
	for key, values := range r.header {
		req.Header[key] = values
	}
	resp, err := by.Do(req)
	if err != nil {
		end(err)
		return nil, c.sendFailed(err)
	}
	resp.Body = &answerBody{resp.Body, end}
	return resp, nil
}

// manifestRequest builds a request for one tag or digest of a repository.
func (c *Client) manifestRequest(method, repository, reference string, actions ...string) (request, error) {
	ref, err := c.repository(repository)
	if err != nil {
		return request{}, err
	}
	ref.Reference = reference
	if err := ref.ValidateReference(); err != nil || reference == "" {
		return request{}, fmt.Errorf("%w: %q is neither a tag nor a digest", ErrConfig, reference)
	}
	return request{method: method, path: "/v2/" + repository + "/manifests/" + reference, repository: ref, actions: actions, about: aManifest}, nil
}

// repository checks a repository's name and that it is ours (I9): below the prefix.
func (c *Client) repository(name string) (oras.Reference, error) {
	ref := oras.Reference{Registry: c.location.Host, Repository: name}
	if err := ref.ValidateRepository(); err != nil || len(name) > v1alpha1.MaxRepositoryName {
		return ref, fmt.Errorf("%w: %q, of %d characters, is not a repository name", errName, name, len(name))
	}
	if c.location.Prefix != "" && !strings.HasPrefix(name, c.location.Prefix+"/") {
		return ref, fmt.Errorf("%w: the repository %s is outside of %s/%s", ErrConfig, name, c.location.Host, c.location.Prefix)
	}
	return ref, nil
}

// name writes host/repository:tag or host/repository@digest, for people.
func (c *Client) name(repository, reference string) string {
	separator := ":"
	if isDigest(reference) {
		separator = "@"
	}
	return c.location.Host + "/" + repository + separator + reference
}

// isDigest tells a digest from a tag, which has no colon.
func isDigest(reference string) bool { return digest.Digest(reference).Validate() == nil }
