package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/workload"
)

// Registry has the methods of the cluster's own registry that a purge of the mirror needs.
type Registry interface {
	reading.Registry
	// Repositories lists all repositories of the store.
	Repositories(ctx context.Context) ([]string, error)
	// Delete removes a digest and all of its tags. It returns registry.ErrNotFound if the digest does not exist.
	Delete(ctx context.Context, repository string, d digest.Digest) error
	// DeleteUnreferenced requests that the next collection deletes a digest, unless something in the
	// registry references it then. Errors wrap registry.ErrProtected if the digest was pushed again.
	DeleteUnreferenced(ctx context.Context, store client.ObjectKey, repository string, d digest.Digest) error
	// Untag removes only a tag. If the tag is missing, there is no error.
	Untag(ctx context.Context, repository, tag string) error
	// Restore pushes a manifest to its digest, and to those of the tags that do not exist.
	Restore(ctx context.Context, repository string, m registry.Manifest, tags []string) error
}

// Env is the environment of a purge of the mirror.
type Env struct {
	// Client reads and writes Artifacts, without a cache.
	Client client.Client
	// Registry contains the mirror.
	Registry Registry
	// Reader reads from Registry.
	Reader *reading.Reader
	// Now is the API server's time.
	Now func() time.Time
	// Volume is where the registry's volume is mounted; "" if it is not.
	Volume string
	// ReadCluster reads the store and the objects that hold artifacts in it.
	ReadCluster func(context.Context) (plan.Cluster, error)
	// Images reads which images the workloads of the cluster use. nil: nothing is purged.
	Images func(context.Context, *v1alpha1.ArtifactStore, workload.Find) (*workload.Reading, error)
	// Log gets a line for each step.
	Log *slog.Logger
}

// Refuse returns an error if a store is not the mirror.
func Refuse(c plan.Cluster) error {
	if c.Store.Name != v1alpha1.MirrorName || c.Location.Prefix != v1alpha1.MirrorPrefix || !c.Store.InClusterRegistry() {
		return fmt.Errorf("%w: the mirror is the store %s with the prefix %s in the cluster's own registry", plan.ErrRefused, v1alpha1.MirrorName, v1alpha1.MirrorPrefix)
	}
	return nil
}
