package reading

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Unreferenced asks the cluster's own registry which digests nothing in it references, and returns them by repository. It
// returns nil where that is unknown: for other registries, and for a registry that does not keep its content on a volume.
func (r *Reader) Unreferenced(ctx context.Context, store *v1alpha1.ArtifactStore) (map[string][]digest.Digest, error) {
	if !store.InClusterRegistry() {
		return nil, nil
	}
	var all []registry.Unreferenced
	err := r.Do(ctx, func() (err error) {
		all, err = r.Registry.Unreferenced(ctx, client.ObjectKeyFromObject(store))
		return err
	})
	if errors.Is(err, registry.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[string][]digest.Digest{}
	for _, m := range all {
		found[m.Repository] = append(found[m.Repository], m.Digest)
	}
	return found, nil
}

// Listing is what a registry's own list of image manifests shows of a repository.
type Listing struct {
	// Untagged are the digests without a tag. Locked are the digests that the registry refuses to delete.
	Untagged, Locked []digest.Digest
	// Absent reports whether the registry answered as one that has no list, that does not show
	// it to the login, or that does not know the repository. One such answer is no proof (I2).
	Absent bool
}

var errListed = fmt.Errorf("%w: the registry can list the image manifests of the repository, and answered before that it cannot; run the purge again", registry.ErrUnreadable)

// List asks a registry for its own list of the image manifests of a repository.
// ConfirmAbsent must confirm an absent list before something is deleted.
func (r *Reader) List(ctx context.Context, repository string) (Listing, error) {
	var all []registry.Listed
	err := r.Do(ctx, func() (err error) {
		all, err = r.Registry.List(ctx, repository)
		return err
	})
	switch {
	case errors.Is(err, registry.ErrUnsupported), errors.Is(err, registry.ErrDenied), errors.Is(err, registry.ErrNotFound):
		return Listing{Absent: true}, nil
	case err != nil:
		return Listing{}, err
	}
	var l Listing
	for _, m := range all {
		if len(m.Tags) == 0 {
			l.Untagged = append(l.Untagged, m.Digest)
		}
		if m.Locked {
			l.Locked = append(l.Locked, m.Digest)
		}
	}
	return l, nil
}

// ConfirmAbsent asks again for a list that was absent when the plan read the repository. It
// returns an error unless the list is still absent. Errors wrap registry.ErrUnreadable if the
// registry has the list: the plan does not know what is locked in the repository.
func (r *Reader) ConfirmAbsent(ctx context.Context, repository string, planned Repository) error {
	if !planned.Unlisted {
		return nil
	}
	l, err := r.List(ctx, repository)
	if err == nil && !l.Absent {
		return errListed
	}
	return err
}
