package reading

import (
	"context"
	"errors"

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

// List asks a registry that can list image manifests which digests have no tag, and which digests it
// refuses to delete. A registry whose list the login may not read counts as one that has no list.
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
