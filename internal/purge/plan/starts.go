package plan

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// Counted yields, by repository, the digests from which the bytes of the store are counted:
// those that its manifests and tombstones list or, with part, those that its tombstones
// list. For a repository that was read, it yields everything that these lead to.
func (c Cluster) Counted(part bool, readings map[string]reading.Repository) iter.Seq2[string, []digest.Digest] {
	repositories, startsIn := c.repositories, c.Starts
	if part {
		repositories, startsIn = c.withTombstones, c.tombstoneDigests
	}
	return func(yield func(string, []digest.Digest) bool) {
		for _, repository := range repositories() {
			starts := startsIn(repository)
			if seen, planned := readings[repository]; planned && seen.Err == nil {
				starts = seen.Graph.Parts(c.Starts(repository)...) // these have been read already
			}
			if !yield(repository, starts) {
				return
			}
		}
	}
}

// repositories returns the repositories in which the store's manifests and tombstones have digests, sorted.
func (c Cluster) repositories() []string {
	all := c.withTombstones()
	for repository := range c.Recorded {
		if c.inside(repository) {
			all = append(all, repository)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// withTombstones returns the repositories in which the store's tombstones have entries that their manifests own, sorted.
func (c Cluster) withTombstones() []string {
	var all []string
	for repository, es := range c.Entries {
		if slices.ContainsFunc(es, func(e Entry) bool { return c.owns(&e) }) {
			all = append(all, repository)
		}
	}
	slices.Sort(all)
	return all
}

// inside reports whether a repository is below the store's prefix.
func (c Cluster) inside(repository string) bool {
	return c.Location.Prefix == "" || strings.HasPrefix(repository, c.Location.Prefix+"/")
}

// Starts returns the digests at which a reading of a repository begins, in
// addition to its tags: those that tombstones list, and those that are recorded.
func (c Cluster) Starts(repository string) []digest.Digest {
	ds := c.tombstoneDigests(repository)
	for _, r := range c.Recorded[repository] {
		ds = append(ds, r.Digest)
	}
	return ds
}

// tombstoneDigests returns the digests that tombstones list in a repository.
func (c Cluster) tombstoneDigests(repository string) []digest.Digest {
	var ds []digest.Digest
	for _, e := range c.Entries[repository] {
		ds = append(ds, e.Valid...)
	}
	return ds
}

// Todo returns the repositories to read: all that the store's manifests
// have or had, and all that have an entry that may be deleted.
func (c Cluster) Todo() []string {
	rs := maps.Clone(c.Homes)
	for repository, es := range c.Entries {
		if slices.ContainsFunc(es, Entry.MayGo) {
			rs[repository] = nil
		}
	}
	return slices.Sorted(maps.Keys(rs))
}

// Concerns reports whether a purge must read a repository in which the registry lists no untagged digest.
func (c Cluster) Concerns(repository string) bool {
	return slices.ContainsFunc(c.Entries[repository], func(e Entry) bool {
		return e.MayGo() || e.Tombstone.Spec.Cause == v1alpha1.CauseFound || c.Forgotten(e)
	})
}
