package sweep

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/latest"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Values of the key "event" in log lines about deletions.
const (
	eventDeleted = "Deleted"
	eventPutBack = "PutBack"
)

// Registry has the methods of a registry that a sweep needs.
type Registry interface {
	reading.Registry
	// Delete removes a digest and all of its tags. It returns registry.ErrNotFound if the digest does not exist.
	Delete(ctx context.Context, repository string, d digest.Digest) error
	// DeleteUnreferenced requests that the next collection of the cluster's own registry deletes a digest, unless
	// something in the registry references it then. Errors wrap registry.ErrProtected if the digest was pushed again.
	DeleteUnreferenced(ctx context.Context, store client.ObjectKey, repository string, d digest.Digest) error
	// Untag removes only a tag. If the tag is missing, there is no error.
	Untag(ctx context.Context, repository, tag string) error
	// Restore pushes a manifest to its digest, and to those of the tags that do not exist.
	Restore(ctx context.Context, repository string, m registry.Manifest, tags []string) error
}

// Env is the environment of a sweep.
type Env struct {
	// Client writes tombstones.
	Client client.Client
	// Registry deletes and restores.
	Registry Registry
	// Reader has read the plan's repositories.
	Reader *reading.Reader
	// Clock measures the age of evidence.
	Clock clock.PassiveClock
	// Now is the API server's time.
	Now func() time.Time
	// SecondLook is the least time between the two readings of a repository that a deletion needs.
	SecondLook time.Duration
	// Late is how long the registry may still carry out a deletion that it did not answer. Default: 30 seconds.
	Late time.Duration
	// ReadCluster reads the cluster, uncached, and adds what was read of its workloads.
	ReadCluster func(context.Context, reading.Running) (plan.Cluster, error)
	// ReadRunning reads what the workloads run that the store selects.
	ReadRunning func(context.Context, *v1alpha1.ArtifactStore) (reading.Running, error)
	// Log gets a line for each step.
	Log *slog.Logger
}

// Plan is what a sweep carries out.
type Plan struct {
	// Cluster and Readings, the latter by repository, are what the verdicts were made from.
	Cluster  plan.Cluster
	Readings map[string]reading.Repository
	// Verdicts are in the order of sweeping.
	Verdicts []plan.Verdict
	// Missing are the digests that the store's manifests and tombstones
	// lead to and that the registry does not have; nil if unknown.
	Missing map[reading.Key]bool
}

// Result is what a sweep did.
type Result struct {
	// Verdicts are those of the plan, with what became of each digest.
	Verdicts []plan.Verdict
	// Deleted is how many digests were deleted.
	Deleted int
	// Denied has the errors of the deletions that the registry refused, in no order.
	Denied []error
	// Doubt says why the purge must not ask for a collection: the collection might delete something that is needed.
	Doubt error
}

// Run carries out a plan. The result says what was done, also when there is an error. Errors wrap ErrRefused
// if the store must not be purged any more, and ErrPutBack if something deleted turned out to be needed.
func Run(ctx context.Context, env Env, p Plan) (Result, error) {
	s := &sweeper{
		api: env.Client, registry: env.Registry, reader: env.Reader, clock: env.Clock, now: env.Now, apart: env.SecondLook, key: client.ObjectKeyFromObject(p.Cluster.Store),
		log: env.Log, late: cmp.Or(env.Late, usualLate), planned: p.Cluster, byTombstone: byTombstone(p.Cluster.Entries), readings: p.Readings, order: p.Verdicts, missing: p.Missing,
		shared: latest.New[*view](), running: latest.New[reading.Running](), readCluster: env.ReadCluster, readRunning: env.ReadRunning, room: newRoom(env.Reader.Requests()),
		plan: map[reading.Key]plan.Verdict{}, claims: map[claim]bool{}, used: map[string]map[digest.Digest]graph.Why{}, settled: map[reading.Key]plan.Verdict{},
		rest: plan.Verdict{Reason: plan.Interrupted, Message: plan.NotReached},
	}
	for _, v := range p.Verdicts {
		s.plan[v.Key()] = v
	}
	err := errors.Join(s.run(ctx), s.recordFound(ctx), s.revive(ctx), s.lastLook(ctx))
	ends := make([]plan.Verdict, 0, len(p.Verdicts))
	for _, v := range p.Verdicts {
		ends = append(ends, s.verdict(v.Key()))
	}
	return Result{Verdicts: ends, Deleted: s.deleted, Denied: s.denied, Doubt: s.doubt}, err
}
