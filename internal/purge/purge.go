package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/apitime"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
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

	times leaseTimes
	late  time.Duration // default usualLate
	// poll is the time between two questions about a collection, and tell that between two lines about it.
	poll, tell time.Duration
}

// Values of the key "event" of the lines that say what was done.
const (
	eventDeleted = "Deleted"
	eventPutBack = "PutBack"
	eventEnded   = "PurgeEnded"
)

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
	if cfg.late == 0 {
		cfg.late = usualLate
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
	if c.store != nil {
		report.URL = c.store.RegistryURL()
		report.DryRun = report.DryRun || c.store.Spec.Purge.DryRun
	}
	if c.refusal != nil {
		return c.refusal
	}
	reg, err := cfg.Open(ctx, c.store)
	if err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	if c.store.Spec.Mirror != nil {
		return cfg.runMirror(ctx, c, reg, report)
	}
	if report.DryRun {
		p, planErr := cfg.plan(ctx, c, newReader(reg, cfg.Clock, requests(c.store)))
		return report.conclude(c.store, p, p.verdicts, planErr)
	}
	return cfg.lease(key).hold(ctx, func(ctx context.Context) error { return cfg.sweep(ctx, key, reg, report) })
}

func (cfg Config) lease(key client.ObjectKey) lease {
	return lease{client: cfg.Leases, store: key, identity: cfg.Identity, times: cfg.times, log: cfg.Log}
}

// readCluster reads the cluster, uncached, beside what was read of its workloads.
func (cfg Config) readCluster(ctx context.Context, key client.ObjectKey, run running) (cluster, error) {
	objects, err := readObjects(ctx, cfg.Client, cfg.Clock, cfg.Now, key, run)
	if err != nil {
		return cluster{}, err
	}
	return newCluster(objects), nil
}

// read reads the cluster, and of a store that selects workloads what they run.
func (cfg Config) read(ctx context.Context, key client.ObjectKey) (cluster, error) {
	c, err := cfg.readCluster(ctx, key, running{})
	if err != nil || c.store == nil || c.store.Spec.Workloads == nil || c.store.Spec.Mirror != nil {
		return c, err
	}
	run, err := cfg.readRunning(ctx, c.store)
	if err != nil {
		return cluster{}, err
	}
	return cfg.readCluster(ctx, key, run)
}

// sweep plans anew, under the lease, acts, and records the run.
func (cfg Config) sweep(ctx context.Context, key client.ObjectKey, reg Registry, report *Report) error {
	c, err := cfg.read(ctx, key)
	if err != nil {
		return err
	}
	if c.refusal != nil {
		return c.refusal
	}
	s := &sweeper{
		api: cfg.Client, registry: reg, reader: newReader(reg, cfg.Clock, requests(c.store)), clock: cfg.Clock, now: cfg.Now, apart: cfg.SecondLook, key: key,
		log: cfg.Log, late: cfg.late, planned: c, byTombstone: byTombstone(c.entries), shared: newShared[*view](), running: newShared[running](), readCluster: cfg.readCluster, readRunning: cfg.readRunning, room: newRoom(requests(c.store)),
		plan: map[target]Verdict{}, claims: map[claim]bool{}, used: map[string]map[digest.Digest]graph.Why{}, settled: map[target]Verdict{},
		rest: Verdict{Reason: Interrupted, Message: notReached},
	}
	p, planErr := cfg.plan(ctx, c, s.reader)
	s.readings, s.order, s.missing = p.readings, p.verdicts, p.usage.missing
	for _, v := range p.verdicts {
		s.plan[v.key()] = v
	}
	err = errors.Join(planErr, s.run(ctx), s.bury(ctx), s.revive(ctx), s.lastLook(ctx))
	ends := make([]Verdict, 0, len(p.verdicts))
	for _, v := range p.verdicts {
		ends = append(ends, s.verdict(v.key()))
	}
	err = report.conclude(c.store, p, ends, err)
	report.explainDenied(s.denied)
	asked := cfg.askToCollect(ctx, reg, c.store, p.usage, report, s.doubt)
	noted := func(s *v1alpha1.ArtifactStoreStatus) { s.Unresolved = c.unresolvedIn(p.readings) }
	return errors.Join(err, cfg.record(ctx, c.store, *report, s.learnt(err), noted), cfg.awaitCollection(ctx, asked, report))
}

// planned is a plan and what it was made from.
type planned struct {
	readings map[string]reading
	verdicts []Verdict
	usage    usage
}

// plan reads every repository in which something may go, or has no tag, and decides. It writes
// nothing (I8). The error reports repositories that could not be read: they keep all, the plan is
// whole.
func (cfg Config) plan(ctx context.Context, c cluster, r *reader) (planned, error) {
	todo := c.todo()
	p := planned{readings: make(map[string]reading, len(todo))}
	var mu sync.Mutex
	var errs []error
	unreferenced, listErr := r.unreferenced(ctx, c.store)
	if listErr != nil {
		errs = append(errs, listErr)
	}
	var g errgroup.Group
	g.SetLimit(r.requests())
	looked := 0
	for _, repository := range todo {
		g.Go(func() error {
			found, read, err := study(ctx, c, r, repository, unreferenced)
			mu.Lock()
			defer mu.Unlock()
			if looked++; read {
				p.readings[repository] = found
				cfg.Log.Info("Read", "repository", repository, "number", looked, "of", len(todo))
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("reading %s: %w", repository, err))
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs: one repository does not stop another
	p.usage = meter{store: c.store, volume: cfg.Volume, reader: r}.measure(ctx, c.counted(!readsAll(c.store), p.readings), p.readings)
	p.verdicts = ration(plan(c, p.readings), c.store.Spec.Purge, p.usage)
	return p, summed(errs)
}

// study reads a repository, if anything may go in it. That its list cannot be read hides what has
// no tag and no tombstone, and concerns nothing else.
func study(ctx context.Context, c cluster, r *reader, repository string, unreferenced map[string][]digest.Digest) (found reading, read bool, err error) {
	listed, locked := unreferenced[repository], []digest.Digest(nil)
	if !c.store.InClusterRegistry() {
		listed, locked, err = r.list(ctx, repository)
	}
	if len(listed) == 0 && !c.concerns(repository) {
		return reading{}, false, err
	}
	found = r.read(ctx, repository, slices.Concat(c.starts(repository), listed, locked))
	found.listed, found.locked = listed, locked
	if unreferenced != nil {
		found.unreferenced = make(map[digest.Digest]bool, len(listed))
		for _, d := range listed {
			found.unreferenced[d] = true
		}
	}
	if found.err != nil {
		err = found.err
	}
	return found, true, err
}

// summed is one error for many: the first in order, and how many there are.
func summed(errs []error) error {
	if len(errs) <= 1 {
		return errors.Join(errs...)
	}
	least := errs[0]
	for _, err := range errs {
		if err.Error() < least.Error() {
			least = err
		}
	}
	return fmt.Errorf("%w, and %d more repositories could not be read", least, len(errs)-1)
}

// oneLine is an error as a report and a status show it.
func oneLine(err error) string { return v1alpha1.Line(strings.ReplaceAll(err.Error(), "\n", "; ")) }

// record writes the run to the store's status, what was learnt of the registry, and what noted sets. Nothing else
// of the store is written. It writes also when the purge was asked to stop.
func (cfg Config) record(ctx context.Context, store *v1alpha1.ArtifactStore, r Report, learnt v1alpha1.Support, noted func(*v1alpha1.ArtifactStoreStatus)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	was := store.DeepCopy()
	store.Status.LastPurge = r.run(cfg.Now())
	noted(&store.Status)
	if r.Usage != nil || !measures(store) {
		store.Status.Usage = r.Usage
	}
	store.Status.DeletedTotal += int64(r.Deleted)
	if r.Outcome == v1alpha1.PurgeSucceeded || r.Outcome == v1alpha1.PurgeBelowThreshold {
		store.Status.LastSuccessTime = &store.Status.LastPurge.CompletionTime
	}
	if learnt != "" {
		store.Status.Capabilities.Delete = learnt
	}
	if patchErr := cfg.Client.Status().Patch(ctx, store, client.MergeFrom(was)); patchErr != nil && !apierrors.IsNotFound(patchErr) {
		return fmt.Errorf("recording the purge: %w", patchErr)
	}
	return nil
}

// learnt is what the run showed of the registry's deletion, "" for nothing.
func (s *sweeper) learnt(err error) v1alpha1.Support {
	switch {
	case errors.Is(err, registry.ErrUnsupported):
		return v1alpha1.Unsupported
	case s.deleted > 0:
		return v1alpha1.Supported
	}
	return ""
}

// requests is how many requests to a store's registry run at the same time.
func requests(s *v1alpha1.ArtifactStore) int {
	const usual, most = 8, 64
	if n := int(s.Spec.Purge.Concurrency); n > 0 {
		return min(n, most)
	}
	return usual
}

// open opens a store's registry with the Secret that it names, read now, or the token for the cluster's own registry.
func open(ctx context.Context, secrets SecretReader, s *v1alpha1.ArtifactStore, token string, addresses registry.Addresses) (*registry.Client, error) {
	var secret *corev1.Secret
	if ref := s.Spec.Registry.CredentialsSecretRef; ref != nil {
		var err error
		if secret, err = secrets(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ref.Name}); err != nil {
			return nil, err
		}
	}
	cfg, err := registry.ConfigOf(s, secret)
	switch {
	case err != nil:
		return nil, err
	case s.InClusterRegistry() && token == "":
		return nil, fmt.Errorf("%w: the purge has no token for the cluster's own registry. Write one to a file and name it with --registry-token: kubectl create token %s -n %s --audience %s",
			registry.ErrCredentials, cronjob.ObjectName(s.Name), s.Namespace, v1alpha1.ClusterRegistryAudience)
	case s.InClusterRegistry():
		cfg.TokenFile = token
	}
	cfg.Addresses = addresses
	return registry.Open(cfg)
}

// readRunning reads what the workloads run that a store selects.
func (cfg Config) readRunning(ctx context.Context, store *v1alpha1.ArtifactStore) (running, error) {
	r := running{begun: cfg.Clock.Now(), generation: store.Generation}
	if store.Spec.Workloads == nil {
		return r, nil
	}
	if cfg.Workloads == nil {
		return r, fmt.Errorf("%w: %s: this program does not read what workloads run", ErrRefused, v1alpha1.ReasonWorkloadsUnreadable)
	}
	var err error
	if r.Reading, err = cfg.Workloads(ctx, store); err != nil {
		return r, fmt.Errorf("reading what workloads run: %w", err)
	}
	if err := r.Unreadable(); err != nil {
		return r, fmt.Errorf("%w: %s: %w", ErrRefused, v1alpha1.ReasonWorkloadsUnreadable, err)
	}
	return r, nil
}
