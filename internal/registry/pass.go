package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// Pass forwards a read that another client requested to the registry, with this client's login, and
// returns the answer whatever its status. what is "manifests/<tag or digest>" or "blobs/<digest>" of
// a repository. The body of the answer is unchanged and unbounded. It ends with ctx, and the caller
// closes it. Redirects are followed. Errors wrap ErrConfig, ErrDenied, ErrAddress or ErrUnavailable.
func (c *Client) Pass(ctx context.Context, method, repository, what string, header http.Header) (*http.Response, error) {
	if !wire.IsRead(method) {
		return nil, fmt.Errorf("passing a request on to %s: %w", c.wire.Location.Host, c.wire.Fail(ErrConfig, errors.New("only GET and HEAD are passed on")))
	}
	ref, err := c.wire.Repository(repository)
	if err != nil {
		return nil, fmt.Errorf("passing a request on to %s: %w", c.wire.Location.Host, err)
	}
	resp, err := c.wire.DoBy(ctx, c.wire.Blobs, wire.Request{
		Method: method, Path: "/v2/" + repository + "/" + what, Header: header, Repository: ref, Actions: []string{auth.ActionPull},
	})
	if err != nil {
		return nil, fmt.Errorf("passing a request on to %s: %w", c.wire.Location.Host, err)
	}
	return resp, nil
}
