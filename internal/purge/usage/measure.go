package usage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Meter measures how full a store is.
type Meter struct {
	// Store has the capacity, the usage source and the last usage.
	Store *v1alpha1.ArtifactStore
	// Volume is where the registry's volume is mounted; "" if it is not.
	Volume string
	// Reader reads the image manifests whose bytes are counted.
	Reader *reading.Reader
}

// Measure measures how full the store is. It counts the bytes that the digests in
// counted, by repository, lead to. readings has the repositories that the plan has read.
func (m Meter) Measure(ctx context.Context, counted iter.Seq2[string, []digest.Digest], readings map[string]reading.Repository) Measurement {
	u := Measurement{Source: m.Store.UsageSource(), Part: !ReadsAll(m.Store)}
	var err error
	u.Ledger, u.Missing, err = account(ctx, m.Reader, counted, readings)
	u.Err = err
	if q := m.Store.Spec.Capacity; q != nil {
		u.Capacity = q.Value()
	}
	switch {
	case u.Source == v1alpha1.UsageVolume:
		u.Used, u.Capacity, err = FileSystem(m.Volume)
		u.Err = errors.Join(u.Err, err)
		u.Uncollected = uncollected(m.Store.Status.Usage, u.Source, u.Used)
	case u.Source == v1alpha1.UsageRegistry:
		u.Err = errors.Join(u.Err, u.ask(ctx, m.Reader.Registry, m.Store))
	case err == nil:
		u.Used = u.Ledger.total()
	}
	if u.Err == nil && u.Capacity <= 0 {
		u.Err = errors.New("spec.capacity, which is what 100 % means, is not set to a number of bytes above 0")
	}
	return u
}

// ReadsAll reports whether a purge of a store reads everything in it. It does if usage is compared with
// something, or if what a purge makes reclaimable is subtracted from what the volume shows. Otherwise
// it reads only repositories that have tombstones, because other repositories do not concern it.
func ReadsAll(s *v1alpha1.ArtifactStore) bool {
	return Needed(s.Spec.Purge) || s.Spec.Capacity != nil || s.UsageSource() == v1alpha1.UsageVolume || s.Spec.Mirror != nil
}

// Measures reports whether a purge of a store can measure how full it is.
func Measures(s *v1alpha1.ArtifactStore) bool {
	return ReadsAll(s) || s.UsageSource() != v1alpha1.UsageAccounted
}

// account counts what the given digests of repositories lead to.
func account(ctx context.Context, r *reading.Reader, counted iter.Seq2[string, []digest.Digest], readings map[string]reading.Repository) (*Ledger, map[reading.Key]bool, error) {
	l, missing := NewLedger(), map[reading.Key]bool{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.Requests())
	for repository, starts := range counted {
		_, planned := readings[repository]
		g.Go(func() error {
			found, absent, err := r.Walk(ctx, repository, starts)
			if err != nil {
				return fmt.Errorf("reading %s: %w", repository, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for d := range absent {
				missing[reading.Key{Repository: repository, Digest: d}] = true
			}
			if !planned {
				r.Forget(repository)
			}
			return l.addAll(repository, found, planned)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	return l, missing, nil
}

// FileSystem returns how many bytes the file system at a path,
// where the registry's volume is mounted, uses and has, as df does.
func FileSystem(path string) (used, capacity int64, err error) {
	if path == "" {
		return 0, 0, errors.New("the registry's volume is not mounted here; the CronJob's pods have it, --volume says where it is")
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, 0, fmt.Errorf("asking the file system of %s: %w", path, err)
	}
	block := uint64(max(0, fs.Bsize))
	if block == 0 || fs.Blocks > math.MaxInt64/block || fs.Bfree > fs.Blocks {
		return 0, 0, fmt.Errorf("asking the file system of %s: its answer makes no sense", path)
	}
	used = int64((fs.Blocks - fs.Bfree) * block)
	// Blocks that only root may use count neither as used nor as capacity.
	return used, used + int64(min(fs.Bavail, fs.Bfree)*block), nil
}

// ask asks the cluster's own registry how full its volume is. If spec.capacity is set, it remains the capacity.
func (u *Measurement) ask(ctx context.Context, from reading.Registry, store *v1alpha1.ArtifactStore) error {
	key, last := client.ObjectKeyFromObject(store), store.Status.Usage
	// The collection is read before the disk. If it ends in between, what it
	// frees counts as free once. In the other order it would count as used.
	state, err := from.Collection(ctx, key)
	if err != nil {
		return err
	}
	disk, err := from.Disk(ctx, key)
	if err != nil {
		return err
	}
	u.Used = disk.Used
	if store.Spec.Capacity == nil {
		u.Capacity = disk.Size
	}
	if last == nil || last.Source != u.Source {
		return nil
	}
	if u.collection = last.Collection; !collected(state, u.collection) {
		u.Uncollected, u.Owed = uncollected(last, u.Source, u.Used), last.UncollectedBytes > 0
	}
	return nil
}

// Remeasure returns the usage that the cluster's own registry reports
// after a collection. before is the usage measured before it.
func Remeasure(ctx context.Context, from reading.Registry, store *v1alpha1.ArtifactStore, before v1alpha1.StoreUsage, now func() time.Time) (*v1alpha1.StoreUsage, error) {
	u, after := Measurement{Source: v1alpha1.UsageRegistry}, before
	if after.CapacityBytes != nil {
		u.Capacity = *after.CapacityBytes
	}
	store = store.DeepCopy()
	store.Status.Usage = &before
	if err := u.ask(ctx, from, store); err != nil {
		return nil, err
	}
	after.UncollectedBytes = u.Uncollected
	u.show(&after, now())
	return &after, nil
}

// collected reports whether the last collection that ended is the one that a
// purge asked for by number, or a later one, and whether it collected everything.
func collected(state registry.Collection, number int64) bool {
	return number > 0 && state.Done >= number && state.Failed == "" && !state.DryRun
}

// uncollected returns how many bytes purges have made reclaimable on a volume and the registry has
// not freed yet: what the last purge left, less what the usage of the volume has dropped since. If
// the registry has grown meanwhile, this is too much, and the purge deletes less than it could.
func uncollected(last *v1alpha1.StoreUsage, source v1alpha1.UsageSource, used int64) int64 {
	if last == nil || last.Source != source {
		return 0
	}
	return max(0, last.UncollectedBytes-max(0, last.UsedBytes-used))
}
