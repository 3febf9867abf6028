package pass

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/reference"
)

// LiveHolders reads the holders of an object that is being deleted.
// doubt is set if they cannot be known; err is any other error.
func LiveHolders(ctx context.Context, f *reference.Finder, o client.Object) (holders []reference.Holder, doubt, err error) {
	found, err := f.Live(ctx, o)
	if errors.Is(err, reference.ErrHoldersUnknown) {
		return nil, err, nil
	}
	return found.Holders, nil, err
}
