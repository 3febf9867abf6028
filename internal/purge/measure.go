package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// measure finds how full the store is.
func (cfg Config) measure(ctx context.Context, c cluster, r *reader, readings map[string]reading) usage {
	u := usage{source: c.store.UsageSource(), part: !readsAll(c.store)}
	var err error
	u.ledger, u.missing, err = account(ctx, c, r, readings, u.part)
	u.err = err
	if q := c.store.Spec.Capacity; q != nil {
		u.capacity = q.Value()
	}
	switch {
	case u.source == v1alpha1.UsageVolume:
		u.used, u.capacity, err = cfg.volume()
		u.err = errors.Join(u.err, err)
		u.uncollected = uncollected(c.store.Status.Usage, u.source, u.used)
	case u.source == v1alpha1.UsageRegistry:
		u.err = errors.Join(u.err, u.ask(ctx, r.from, c.store))
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

// account reads whatever the store's manifests and tombstones reach, or with part what its tombstones do.
func account(ctx context.Context, c cluster, r *reader, readings map[string]reading, part bool) (*ledger, map[target]bool, error) {
	l, missing := newLedger(), map[target]bool{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.requests())
	repositories, startsIn := c.repositories, c.starts
	if part {
		repositories, startsIn = c.buried, c.brought
	}
	for _, repository := range repositories() {
		starts := startsIn(repository)
		seen, planned := readings[repository]
		if planned && seen.err == nil {
			starts = seen.graph.Parts(c.starts(repository)...) // which have been read
		}
		g.Go(func() error {
			found, absent, err := r.walk(ctx, repository, starts)
			if err != nil {
				return fmt.Errorf("reading %s: %w", repository, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for d := range absent {
				missing[target{repository, d}] = true
			}
			if !planned {
				r.forget(repository)
			}
			return l.addAll(repository, found, planned)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	return l, missing, nil
}

// repositories are those in which the store's manifests and tombstones have anything, sorted.
func (c cluster) repositories() []string {
	all := c.buried()
	for repository := range c.recorded {
		if c.inside(repository) {
			all = append(all, repository)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// buried are the repositories in which the store's tombstones have anything, sorted.
func (c cluster) buried() []string {
	var all []string
	for repository, es := range c.entries {
		if slices.ContainsFunc(es, func(e entry) bool { return c.owns(&e) }) {
			all = append(all, repository)
		}
	}
	slices.Sort(all)
	return all
}

// inside reports whether a repository lies below the store's prefix.
func (c cluster) inside(repository string) bool {
	return c.location.Prefix == "" || strings.HasPrefix(repository, c.location.Prefix+"/")
}

// starts are the digests of a repository that a reading of it begins at, beside its tags:
// whatever may go, and whatever keeps.
func (c cluster) starts(repository string) []digest.Digest {
	ds := c.brought(repository)
	for _, r := range c.recorded[repository] {
		ds = append(ds, r.Digest)
	}
	return ds
}

// brought are the digests of a repository that tombstones name.
func (c cluster) brought(repository string) []digest.Digest {
	var ds []digest.Digest
	for _, e := range c.entries[repository] {
		ds = append(ds, e.valid...)
	}
	return ds
}
