package registry

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
)

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
func (c *wire) send(ctx context.Context, r request) (*http.Response, error) {
	resp, err := c.do(ctx, r)
	if err == nil && !succeeded(resp) {
		defer discard(resp)
		return nil, c.answered(resp, r)
	}
	return resp, err
}

// succeeded reports whether the status of an answer is 2xx.
func succeeded(resp *http.Response) bool { return resp.StatusCode >= 200 && resp.StatusCode <= 299 }

// do sends a request with authentication and returns the answer, whatever its status. Its body is an answerBody.
func (c *wire) do(ctx context.Context, r request) (*http.Response, error) {
	return c.doBy(ctx, c.auth, r)
}

// doBy is do by a client of its own: that of calls, or that of blobs.
func (c *wire) doBy(ctx context.Context, by *auth.Client, r request) (*http.Response, error) {
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
func (c *wire) manifestRequest(method, repository, reference string, actions ...string) (request, error) {
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
func (c *wire) repository(name string) (oras.Reference, error) {
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
func (c *wire) name(repository, reference string) string {
	separator := ":"
	if isDigest(reference) {
		separator = "@"
	}
	return c.location.Host + "/" + repository + separator + reference
}

// isDigest tells a digest from a tag, which has no colon.
func isDigest(reference string) bool { return digest.Digest(reference).Validate() == nil }
