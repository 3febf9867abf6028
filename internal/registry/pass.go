package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// Pass sends a read of somebody else on to the registry, with this client's login, and returns the answer whatever its
// status. What is asked for is "manifests/<tag or digest>" or "blobs/<digest>" of a repository. The answer's body is as
// the registry sends it and as long; it ends with ctx, and the caller closes it. Redirects are followed. Errors wrap
// ErrConfig, ErrDenied, ErrAddress or ErrUnavailable.
func (c *Client) Pass(ctx context.Context, method, repository, what string, header http.Header) (*http.Response, error) {
	if !isRead(method) {
		return nil, fmt.Errorf("passing a request on to %s: %w", c.wire.location.Host, c.wire.fail(ErrConfig, errors.New("only GET and HEAD are passed on")))
	}
	ref, err := c.wire.repository(repository)
	if err != nil {
		return nil, fmt.Errorf("passing a request on to %s: %w", c.wire.location.Host, err)
	}
	resp, err := c.wire.doBy(ctx, c.wire.blobs, request{
		method: method, path: "/v2/" + repository + "/" + what, header: header, repository: ref, actions: []string{auth.ActionPull},
	})
	if err != nil {
		return nil, fmt.Errorf("passing a request on to %s: %w", c.wire.location.Host, err)
	}
	return resp, nil
}
