package reading

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/registry"
)

// Registry is what planning needs of a registry: nothing that writes (I8).
type Registry interface {
	// Tags lists all tags, or fails; registry.ErrNotFound when the repository is not known.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Resolve returns what a tag points at.
	Resolve(ctx context.Context, repository, tag string) (ocispec.Descriptor, error)
	// Tagged returns what a tag points at, whole.
	Tagged(ctx context.Context, repository, tag string) (registry.Manifest, error)
	// Manifest returns what is stored at a digest.
	Manifest(ctx context.Context, repository string, d digest.Digest) (registry.Manifest, error)
	// List lists image manifests, tagged or not; registry.ErrUnsupported where the registry has no such list.
	List(ctx context.Context, repository string) ([]registry.Listed, error)
	// Unreferenced lists what nothing in the cluster's own registry references; registry.ErrUnsupported for any other.
	Unreferenced(ctx context.Context, store client.ObjectKey) ([]registry.Unreferenced, error)
	// Disk tells how full the cluster's own registry is; registry.ErrUnsupported for any other registry.
	Disk(ctx context.Context, store client.ObjectKey) (registry.Disk, error)
	// Collection reports the collections of the cluster's own registry; registry.ErrUnsupported for any other.
	Collection(ctx context.Context, store client.ObjectKey) (registry.Collection, error)
}
