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

// Registry is what the purge of the mirror needs of the cluster's own registry.
type Registry interface {
	reading.Registry
	// Repositories lists all repositories of the store.
	Repositories(ctx context.Context) ([]string, error)
	// Delete removes a digest and every tag on it; registry.ErrNotFound when it does not exist.
	Delete(ctx context.Context, repository string, d digest.Digest) error
	// DeleteUnreferenced has the next collection delete a digest, unless something in the registry references it by then.
	// Errors wrap registry.ErrProtected if it was pushed again.
	DeleteUnreferenced(ctx context.Context, store client.ObjectKey, repository string, d digest.Digest) error
	// Untag removes a tag alone. Missing is success.
	Untag(ctx context.Context, repository, tag string) error
	// Restore puts a manifest back under its digest, and under those of the tags that are absent.
	Restore(ctx context.Context, repository string, m registry.Manifest, tags []string) error
}

// Env is what a purge of the mirror works with.
type Env struct {
	// Client reads and writes Artifacts, without a cache.
	Client client.Client
	// Registry has the mirror.
	Registry Registry
	// Reader reads from Registry.
	Reader *reading.Reader
	// Now is the API server's time.
	Now func() time.Time
	// Volume is where the registry's volume is mounted; "" nowhere.
	Volume string
	// ReadCluster reads the store and what holds in it.
	ReadCluster func(context.Context) (plan.Cluster, error)
	// Images reads which images the workloads of the cluster use. nil: nothing is purged.
	Images func(context.Context, *v1alpha1.ArtifactStore, workload.Find) (*workload.Reading, error)
	// Log takes a line for each step.
	Log *slog.Logger
}

// Refuse says why a store is not the mirror; nil if it is.
func Refuse(c plan.Cluster) error {
	if c.Store.Name != v1alpha1.MirrorName || c.Location.Prefix != v1alpha1.MirrorPrefix || !c.Store.InClusterRegistry() {
		return fmt.Errorf("%w: the mirror is the store %s with the prefix %s in the cluster's own registry", plan.ErrRefused, v1alpha1.MirrorName, v1alpha1.MirrorPrefix)
	}
	return nil
}
