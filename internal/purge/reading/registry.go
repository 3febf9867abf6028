package reading

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/registry"
)

// Registry has the methods of a registry that planning needs. None of them writes (I8).
type Registry interface {
	// Tags lists all tags, or returns an error: registry.ErrNotFound if the registry does not know the repository.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Resolve returns the descriptor that a tag points at.
	Resolve(ctx context.Context, repository, tag string) (ocispec.Descriptor, error)
	// Tagged returns the manifest that a tag points at.
	Tagged(ctx context.Context, repository, tag string) (registry.Manifest, error)
	// Manifest returns the manifest at a digest.
	Manifest(ctx context.Context, repository string, d digest.Digest) (registry.Manifest, error)
	// List lists image manifests, tagged or not. It returns registry.ErrUnsupported if the registry has no such list.
	List(ctx context.Context, repository string) ([]registry.Listed, error)
	// Unreferenced lists the digests that nothing in the cluster's own
	// registry references. Any other registry: registry.ErrUnsupported.
	Unreferenced(ctx context.Context, store client.ObjectKey) ([]registry.Unreferenced, error)
	// Disk returns how full the cluster's own registry is. Any other registry: registry.ErrUnsupported.
	Disk(ctx context.Context, store client.ObjectKey) (registry.Disk, error)
	// Collection returns the state of collections of the cluster's
	// own registry. Any other registry: registry.ErrUnsupported.
	Collection(ctx context.Context, store client.ObjectKey) (registry.Collection, error)
}
