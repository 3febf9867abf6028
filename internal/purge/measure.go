package purge

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

// meter measures how full a store is.
type meter struct {
	store *v1alpha1.ArtifactStore
	// volume is where the registry's volume is mounted; "" nowhere.
	volume string
	reader *reading.Reader
}

// measure finds how full the store is. Its bytes are counted from digests by repository, of which some have been read.
func (m meter) measure(ctx context.Context, counted iter.Seq2[string, []digest.Digest], readings map[string]reading.Repository) usage {
	u := usage{source: m.store.UsageSource(), part: !readsAll(m.store)}
	var err error
	u.ledger, u.missing, err = account(ctx, m.reader, counted, readings)
	u.err = err
	if q := m.store.Spec.Capacity; q != nil {
		u.capacity = q.Value()
	}
	switch {
	case u.source == v1alpha1.UsageVolume:
		u.used, u.capacity, err = fileSystem(m.volume)
		u.err = errors.Join(u.err, err)
		u.uncollected = uncollected(m.store.Status.Usage, u.source, u.used)
	case u.source == v1alpha1.UsageRegistry:
		u.err = errors.Join(u.err, u.ask(ctx, m.reader.Registry, m.store))
	case err == nil:
		u.used = u.ledger.total()
	}
	if u.err == nil && u.capacity <= 0 {
		u.err = errors.New("spec.capacity, which is what 100 % means, is not set to a number of bytes above 0")
	}
	return u
}

// readsAll reports whether a purge of a store reads all that is in it: because its usage is compared with something, or
// because what a purge makes reclaimable is subtracted from what the volume shows. Otherwise it reads only the
// repositories that have tombstones: nothing that is in others concerns it.
func readsAll(s *v1alpha1.ArtifactStore) bool {
	return wanted(s.Spec.Purge) || s.Spec.Capacity != nil || s.UsageSource() == v1alpha1.UsageVolume || s.Spec.Mirror != nil
}

// measures reports whether a purge of a store can say how full it is.
func measures(s *v1alpha1.ArtifactStore) bool {
	return readsAll(s) || s.UsageSource() != v1alpha1.UsageAccounted
}

// account reads whatever some digests of repositories lead to.
func account(ctx context.Context, r *reading.Reader, counted iter.Seq2[string, []digest.Digest], readings map[string]reading.Repository) (*ledger, map[reading.Key]bool, error) {
	l, missing := newLedger(), map[reading.Key]bool{}
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

// fileSystem asks the file system at a path, where the registry's volume is mounted, as df does.
func fileSystem(path string) (used, capacity int64, err error) {
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
	// What only root may still write to is nobody's.
	return used, used + int64(min(fs.Bavail, fs.Bfree)*block), nil
}

// ask asks the cluster's own registry how full its volume is. A spec.capacity that is set stays what 100 % means.
func (u *usage) ask(ctx context.Context, from reading.Registry, store *v1alpha1.ArtifactStore) error {
	key, last := client.ObjectKeyFromObject(store), store.Status.Usage
	// First: what a collection frees in between then counts as free once, and not never.
	state, err := from.Collection(ctx, key)
	if err != nil {
		return err
	}
	disk, err := from.Disk(ctx, key)
	if err != nil {
		return err
	}
	u.used = disk.Used
	if store.Spec.Capacity == nil {
		u.capacity = disk.Size
	}
	if last == nil || last.Source != u.source {
		return nil
	}
	if u.collection = last.Collection; !collected(state, u.collection) {
		u.uncollected, u.owed = uncollected(last, u.source, u.used), last.UncollectedBytes > 0
	}
	return nil
}

// again is the usage that the cluster's own registry says after a collection, of what was measured before it.
func again(ctx context.Context, from reading.Registry, store *v1alpha1.ArtifactStore, before v1alpha1.StoreUsage, now func() time.Time) (*v1alpha1.StoreUsage, error) {
	u, after := usage{source: v1alpha1.UsageRegistry}, before
	if after.CapacityBytes != nil {
		u.capacity = *after.CapacityBytes
	}
	store = store.DeepCopy()
	store.Status.Usage = &before
	if err := u.ask(ctx, from, store); err != nil {
		return nil, err
	}
	after.UncollectedBytes = u.uncollected
	u.show(&after, now())
	return &after, nil
}

// collected reports whether a collection that a purge asked for by number, or one that began later, is the last that
// ended, and did all that it had to do.
func collected(state registry.Collection, number int64) bool {
	return number > 0 && state.Done >= number && state.Failed == "" && !state.DryRun
}

// uncollected is what purges have made reclaimable on a volume and the registry has not freed
// yet: what the last purge left, less what the volume has got emptier since. Where the registry has
// grown meanwhile this is too much, and less is deleted than could be.
func uncollected(last *v1alpha1.StoreUsage, source v1alpha1.UsageSource, used int64) int64 {
	if last == nil || last.Source != source {
		return 0
	}
	return max(0, last.UncollectedBytes-max(0, last.UsedBytes-used))
}
