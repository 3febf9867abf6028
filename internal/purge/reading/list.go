package reading

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Unreferenced asks the cluster's own registry what nothing in it references, by repository. It is nil where that is not
// known: for other registries, and for a registry that keeps its content elsewhere than on a volume.
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

// List asks a registry that has a list of its own which digests have no tag, and which it will not
// delete. A login that may not read the list is as good as none.
func (r *Reader) List(ctx context.Context, repository string) (untagged, locked []digest.Digest, err error) {
	var all []registry.Listed
	err = r.request(ctx, func() (err error) {
		all, err = r.Registry.List(ctx, repository)
		return err
	})
	switch {
	case errors.Is(err, registry.ErrUnsupported), errors.Is(err, registry.ErrDenied):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	for _, l := range all {
		if len(l.Tags) == 0 {
			untagged = append(untagged, l.Digest)
		}
		if l.Locked {
			locked = append(locked, l.Digest)
		}
	}
	return untagged, locked, nil
}
