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

// Counted yields the digests, by repository, that the bytes of the store are counted from: those that its manifests and
// tombstones name or, with part, those that its tombstones do. Where a repository was read, it is all that these lead to.
func (c Cluster) Counted(part bool, readings map[string]reading.Repository) iter.Seq2[string, []digest.Digest] {
	repositories, startsIn := c.repositories, c.Starts
	if part {
		repositories, startsIn = c.withTombstones, c.brought
	}
	return func(yield func(string, []digest.Digest) bool) {
		for _, repository := range repositories() {
			starts := startsIn(repository)
			if seen, planned := readings[repository]; planned && seen.Err == nil {
				starts = seen.Graph.Parts(c.Starts(repository)...) // which have been read
			}
			if !yield(repository, starts) {
				return
			}
		}
	}
}

// repositories are those in which the store's manifests and tombstones have anything, sorted.
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

// withTombstones are the repositories in which the store's tombstones have anything, sorted.
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

// inside reports whether a repository lies below the store's prefix.
func (c Cluster) inside(repository string) bool {
	return c.Location.Prefix == "" || strings.HasPrefix(repository, c.Location.Prefix+"/")
}

// Starts are the digests of a repository that a reading of it begins at, beside its tags:
// whatever may go, and whatever keeps.
func (c Cluster) Starts(repository string) []digest.Digest {
	ds := c.brought(repository)
	for _, r := range c.Recorded[repository] {
		ds = append(ds, r.Digest)
	}
	return ds
}

// brought are the digests of a repository that tombstones name.
func (c Cluster) brought(repository string) []digest.Digest {
	var ds []digest.Digest
	for _, e := range c.Entries[repository] {
		ds = append(ds, e.Valid...)
	}
	return ds
}

// Todo are the repositories to read: all that the store's manifests have or had.
func (c Cluster) Todo() []string {
	rs := maps.Clone(c.Homes)
	for repository, es := range c.Entries {
		if slices.ContainsFunc(es, Entry.MayGo) {
			rs[repository] = nil
		}
	}
	return slices.Sorted(maps.Keys(rs))
}

// Concerns reports whether a purge has to look at a repository in which the registry lists nothing without a tag.
func (c Cluster) Concerns(repository string) bool {
	return slices.ContainsFunc(c.Entries[repository], func(e Entry) bool {
		return e.MayGo() || e.Tombstone.Spec.Cause == v1alpha1.CauseFound || c.Forgotten(e)
	})
}
