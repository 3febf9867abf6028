package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// Request is one request of the distribution API.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
	Repository   oras.Reference
	Actions      []string // what a token must allow on the repository
	About        Subject
}

// Send sends a request with authentication and returns the answer
// if its status is 2xx. The caller closes the answer's body.
func (c *Client) Send(ctx context.Context, r Request) (*http.Response, error) {
	resp, err := c.Do(ctx, r)
	if err == nil && !Succeeded(resp) {
		defer Discard(resp)
		return nil, c.Answered(resp, r)
	}
	return resp, err
}

// Succeeded reports whether the status of an answer is 2xx.
func Succeeded(resp *http.Response) bool { return resp.StatusCode >= 200 && resp.StatusCode <= 299 }

// Do sends a request with authentication and returns the answer,
// whatever its status. The answer's body is an answerBody.
func (c *Client) Do(ctx context.Context, r Request) (*http.Response, error) {
	return c.DoBy(ctx, c.Auth, r)
}

// DoBy is Do with one of the client's two auth clients, Auth or Blobs.
func (c *Client) DoBy(ctx context.Context, by *auth.Client, r Request) (*http.Response, error) {
	scheme := "https"
	if c.Location.PlainHTTP {
		scheme = "http"
	}
	if len(r.Actions) > 0 {
		ctx = auth.AppendRepositoryScope(ctx, r.Repository, r.Actions...)
	}
	var body io.Reader = http.NoBody
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	host := oras.Reference{Registry: c.Location.Host}.Host()
	ctx, end := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, r.Method, scheme+"://"+host+r.Path, body)
	if err != nil {
		end(err)
		return nil, c.Fail(failure.ErrConfig, err)
	}
	for key, values := range r.Header {
		req.Header[key] = values
	}
	resp, err := by.Do(req)
	if err != nil {
		end(err)
		return nil, c.SendFailed(err)
	}
	resp.Body = &answerBody{resp.Body, end}
	return resp, nil
}

// ManifestRequest builds a request for one tag or digest of a repository.
func (c *Client) ManifestRequest(method, repository, reference string, actions ...string) (Request, error) {
	ref, err := c.Repository(repository)
	if err != nil {
		return Request{}, err
	}
	ref.Reference = reference
	if err := ref.ValidateReference(); err != nil || reference == "" {
		return Request{}, fmt.Errorf("%w: %q is neither a tag nor a digest", failure.ErrConfig, reference)
	}
	return Request{Method: method, Path: "/v2/" + repository + "/manifests/" + reference, Repository: ref, Actions: actions, About: AManifest}, nil
}

// Repository checks that a repository's name is valid and below the client's prefix (I9).
func (c *Client) Repository(name string) (oras.Reference, error) {
	ref := oras.Reference{Registry: c.Location.Host, Repository: name}
	if err := ref.ValidateRepository(); err != nil || len(name) > v1alpha1.MaxRepositoryName {
		return ref, fmt.Errorf("%w: %q, of %d characters, is not a repository name", failure.ErrName, name, len(name))
	}
	if c.Location.Prefix != "" && !strings.HasPrefix(name, c.Location.Prefix+"/") {
		return ref, fmt.Errorf("%w: the repository %s is outside of %s/%s", failure.ErrConfig, name, c.Location.Host, c.Location.Prefix)
	}
	return ref, nil
}

// Name returns host/repository:tag or host/repository@digest, for messages.
func (c *Client) Name(repository, reference string) string {
	separator := ":"
	if IsDigest(reference) {
		separator = "@"
	}
	return c.Location.Host + "/" + repository + separator + reference
}

// IsDigest reports whether a reference is a digest. A tag contains no colon.
func IsDigest(reference string) bool { return digest.Digest(reference).Validate() == nil }
