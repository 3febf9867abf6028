package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/apitime"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/purge/sweep"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/workload"
)

// Config is the configuration of a purge.
type Config struct {
	// Namespace and Store identify the store.
	Namespace, Store string
	// DryRun only plans and reports. The store can also request a dry run.
	DryRun bool
	// Client reads from and writes to the API server, without a cache.
	Client client.Client
	// Secrets reads the Secret that the store references. Default: StoredSecrets of Client.
	Secrets SecretReader
	// Leases has the store's Lease.
	Leases coordinationv1client.LeasesGetter
	// RegistryToken is the file with the token for logging in to the cluster's own registry; "" for none.
	RegistryToken string
	// AllowLoopback allows a loopback address for the store's registry; see registry.Addresses.
	AllowLoopback bool
	// Open opens the store's registry. Default: with the credentials that the store references.
	Open func(context.Context, *v1alpha1.ArtifactStore) (Registry, error)
	// Workloads reads what the workloads run that a store selects. Default: stores that select workloads are not purged.
	Workloads func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error)
	// Images reads which images the workloads of the cluster use, for the mirror. Default: the mirror is not purged.
	Images func(context.Context, *v1alpha1.ArtifactStore, workload.Find) (*workload.Reading, error)
	// Clock measures ages. Default: the real one.
	Clock clock.PassiveClock
	// Now returns the API server's time, with which grace periods are compared. Default: that of Clock.
	Now func() time.Time
	// Skew returns the difference between this host's clock and the API
	// server's. If it exceeds apitime.MaxSkew, nothing is purged. Default: 0.
	Skew func() time.Duration
	// SecondLook is the least time between the two readings of a
	// repository that a deletion needs. Default: registry.SecondLook.
	SecondLook time.Duration
	// WaitForCollection is how long the purge waits for the collection of the cluster's own registry that it asked for.
	// Default: it does not wait.
	WaitForCollection time.Duration
	// Volume is where the registry's volume is mounted, for stores with usage Volume; "" if it is not.
	Volume string
	// Identity identifies this run in the Lease. Each run needs a different one.
	Identity string
	// Log gets a line for each step while the purge runs. Default: none.
	Log *slog.Logger

	// acts is set if the purge is not a dry run.
	acts  bool
	times leaseTimes
	late  time.Duration // Late of a sweep
	// poll is the interval at which the state of a collection is read, and tell the interval at which it is logged.
	poll, tell time.Duration
}

// Errors that errors of Run wrap, in addition to ErrRunning.
var (
	// ErrRefused is wrapped if the purge does not begin, or ends, because the store must not be purged now.
	ErrRefused = plan.ErrRefused
	// ErrPutBack is wrapped if something deleted turned out to be needed and was restored.
	ErrPutBack = sweep.ErrPutBack
)

// eventEnded is the value of the key "event" in the log line that ends a purge.
const eventEnded = "PurgeEnded"

// Run purges one store once. The report says what was done, also when there is an error. Errors
// wrap ErrRunning if another purge of the store is running, and ErrRefused if the store must not
// be purged, which may turn out during the sweep. After an error, the purge can be run again.
// Digests that a purge could not restore are in the error, and stay in the tombstone as Lost.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg = cfg.withDefaults()
	key := client.ObjectKey{Namespace: cfg.Namespace, Name: cfg.Store}
	report := Report{Store: key.String(), DryRun: cfg.DryRun, Started: cfg.Now(), Outcome: v1alpha1.PurgeFailed}
	err := cfg.run(ctx, key, &report)
	if err != nil {
		err = fmt.Errorf("purging store %s: %w", key, err)
		report.Message = oneLine(err)
	}
	report.Ended = cfg.Now()
	cfg.Log.Info("Ended", "event", eventEnded, "store", report.Store, "outcome", report.Outcome, "deleted", report.Deleted, "kept", report.kept(), "reclaimedBytes", report.Reclaimed)
	return report, err
}

func (cfg Config) withDefaults() Config {
	if cfg.Secrets == nil {
		cfg.Secrets = StoredSecrets(cfg.Client)
	}
	if cfg.Open == nil {
		cfg.Open = func(ctx context.Context, s *v1alpha1.ArtifactStore) (Registry, error) {
			return open(ctx, cfg.Secrets, s, cfg.RegistryToken, registry.AddressesOf(cfg.AllowLoopback))
		}
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Now == nil {
		cfg.Now = cfg.Clock.Now
	}
	if cfg.Skew == nil {
		cfg.Skew = func() time.Duration { return 0 }
	}
	if cfg.SecondLook == 0 {
		cfg.SecondLook = registry.SecondLook
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.times == (leaseTimes{}) {
		cfg.times = usualTimes
	}
	cfg.poll, cfg.tell = cmp.Or(cfg.poll, usualPoll), cmp.Or(cfg.tell, usualTell)
	return cfg
}

func (cfg Config) run(ctx context.Context, key client.ObjectKey, report *Report) error {
	c, err := cfg.read(ctx, key)
	if err != nil {
		return err
	}
	if skew := cfg.Skew(); skew > apitime.MaxSkew {
		return fmt.Errorf("%w: the clock of this host is %s off the API server's, and at most %s is trusted; set it right (NTP) and run the purge again",
			ErrRefused, skew.Round(time.Second), apitime.MaxSkew)
	}
	if c.Store != nil {
		report.URL = c.Store.RegistryURL()
		report.DryRun = report.DryRun || c.Store.Spec.Purge.DryRun
	}
	if c.Refusal != nil {
		return c.Refusal
	}
	reg, err := cfg.Open(ctx, c.Store)
	if err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	if c.Store.Spec.Mirror != nil {
		return cfg.runMirror(ctx, c, reg, report)
	}
	if report.DryRun {
		p, planErr := cfg.plan(ctx, c, reading.NewReader(reg, cfg.Clock, requests(c.Store)))
		return report.conclude(c.Store, p, p.verdicts, planErr)
	}
	cfg.acts = true
	return cfg.lease(key).hold(ctx, func(ctx context.Context) error { return cfg.sweep(ctx, c.Store, reg, report) })
}

// readAgain reads the cluster under the Lease. It returns an error if the store was
// recreated meanwhile, because the registry was opened for the former store.
func (cfg Config) readAgain(ctx context.Context, store *v1alpha1.ArtifactStore) (plan.Cluster, error) {
	c, err := cfg.read(ctx, client.ObjectKeyFromObject(store))
	switch {
	case err != nil:
		return c, err
	case c.Refusal != nil:
		return c, c.Refusal
	case c.Store.UID != store.UID:
		return c, fmt.Errorf("%w: store %s was deleted and made anew while the purge waited for its turn; run the purge again", ErrRefused, store.Name)
	}
	return c, nil
}

func (cfg Config) lease(key client.ObjectKey) lease {
	return lease{client: cfg.Leases, store: key, identity: cfg.Identity, times: cfg.times, log: cfg.Log}
}

// sweep makes a new plan under the Lease, carries it out, and records the run.
func (cfg Config) sweep(ctx context.Context, store *v1alpha1.ArtifactStore, reg Registry, report *Report) error {
	c, err := cfg.readAgain(ctx, store)
	if err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(store)
	reader := reading.NewReader(reg, cfg.Clock, requests(c.Store))
	p, planErr := cfg.plan(ctx, c, reader)
	result, err := sweep.Run(ctx, sweep.Env{
		Client: cfg.Client, Registry: reg, Reader: reader, Clock: cfg.Clock, Now: cfg.Now, SecondLook: cfg.SecondLook, Late: cfg.late, Log: cfg.Log,
		ReadCluster: func(ctx context.Context, run reading.Running) (plan.Cluster, error) {
			return cfg.readCluster(ctx, key, run)
		}, ReadRunning: cfg.readRunning,
	}, sweep.Plan{Cluster: c, Readings: p.readings, Verdicts: p.verdicts, Missing: p.usage.Missing})
	err = report.conclude(c.Store, p, result.Verdicts, errors.Join(planErr, err))
	report.explainDenied(result.Denied)
	asked := cfg.askToCollect(ctx, reg, c.Store, p.usage, report, result.Doubt)
	noted := func(s *v1alpha1.ArtifactStoreStatus) { s.Unresolved = c.Unresolved(p.readings) }
	return errors.Join(err, cfg.record(ctx, c.Store, *report, learnt(err, result.Deleted), noted), cfg.awaitCollection(ctx, asked, report))
}

// oneLine returns an error as one line, for a report and a status.
func oneLine(err error) string { return v1alpha1.Line(strings.ReplaceAll(err.Error(), "\n", "; ")) }
