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

// Config says what to purge and with what.
type Config struct {
	// Namespace and Store name the store.
	Namespace, Store string
	// DryRun plans and reports only. The store can ask for it too.
	DryRun bool
	// Client reads and writes the API server itself, without a cache.
	Client client.Client
	// Secrets reads the Secret that the store names. Default: StoredSecrets of Client.
	Secrets SecretReader
	// Leases is where the store's Lease is.
	Leases coordinationv1client.LeasesGetter
	// RegistryToken is the file with the token by which a purge logs in to the cluster's own registry; "" for none.
	RegistryToken string
	// AllowLoopback lets the store's registry be at a loopback address; see registry.Addresses.
	AllowLoopback bool
	// Open opens the store's registry. Default: with the credentials that the store names.
	Open func(context.Context, *v1alpha1.ArtifactStore) (Registry, error)
	// Workloads reads what the workloads run that a store selects. Default: stores that select any are not purged.
	Workloads func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error)
	// Images reads which images the workloads of the cluster use, for the mirror. Default: the mirror is not purged.
	Images func(context.Context, *v1alpha1.ArtifactStore, workload.Find) (*workload.Reading, error)
	// Clock measures ages. Default: the real one.
	Clock clock.PassiveClock
	// Now tells the API server's time, which graces are compared with. Default: Clock's.
	Now func() time.Time
	// Skew tells how far this host's clock is from the API server's; beyond apitime.MaxSkew nothing is
	// purged. Default: not at all.
	Skew func() time.Duration
	// SecondLook is the least time between the two looks at a repository that a deletion needs. Default:
	// registry.SecondLook.
	SecondLook time.Duration
	// WaitForCollection is how long the purge waits for the collection of the cluster's own registry that it asked for.
	// Default: it does not wait.
	WaitForCollection time.Duration
	// Volume is where the registry's volume is mounted, for stores with usage Volume; "" nowhere.
	Volume string
	// Identity of this run, as the Lease shows it; no two runs share one.
	Identity string
	// Log takes a line for each step while the purge runs. Default: none.
	Log *slog.Logger

	// acts: the purge is no dry run.
	acts  bool
	times leaseTimes
	late  time.Duration // of a sweep
	// poll is the time between two questions about a collection, and tell that between two lines about it.
	poll, tell time.Duration
}

// What errors of Run wrap, besides ErrRunning.
var (
	// ErrRefused is why a purge does not begin, or ends: the store must not be purged now.
	ErrRefused = plan.ErrRefused
	// ErrPutBack is wrapped when something deleted turned out to be needed, and was put back.
	ErrPutBack = sweep.ErrPutBack
)

// eventEnded is the value of the key "event" of the line that ends a purge.
const eventEnded = "PurgeEnded"

// Run purges one store once. The report holds what was done also when there is an error. Errors
// wrap ErrRunning when nothing was begun, and ErrRefused when the store must not be purged, which
// may show during a sweep. After an error it can be run again. What a purge could not put back is in
// the error, and stays in the tombstone as Lost.
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

// again reads the cluster under the lease. A store that was made anew meanwhile is not the one whose registry was opened.
func (cfg Config) again(ctx context.Context, store *v1alpha1.ArtifactStore) (plan.Cluster, error) {
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

// sweep plans anew, under the lease, acts, and records the run.
func (cfg Config) sweep(ctx context.Context, store *v1alpha1.ArtifactStore, reg Registry, report *Report) error {
	c, err := cfg.again(ctx, store)
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

// oneLine is an error as a report and a status show it.
func oneLine(err error) string { return v1alpha1.Line(strings.ReplaceAll(err.Error(), "\n", "; ")) }
