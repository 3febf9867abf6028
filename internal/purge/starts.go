package purge

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// counted yields the digests, by repository, that the bytes of the store are counted from: those that its manifests and
// tombstones name or, with part, those that its tombstones do. Where a repository was read, it is all that these lead to.
func (c cluster) counted(part bool, readings map[string]reading.Repository) iter.Seq2[string, []digest.Digest] {
	repositories, startsIn := c.repositories, c.starts
	if part {
		repositories, startsIn = c.buried, c.brought
	}
	return func(yield func(string, []digest.Digest) bool) {
		for _, repository := range repositories() {
			starts := startsIn(repository)
			if seen, planned := readings[repository]; planned && seen.Err == nil {
				starts = seen.Graph.Parts(c.starts(repository)...) // which have been read
			}
			if !yield(repository, starts) {
				return
			}
		}
	}
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

// todo are the repositories to look at: all that the store's manifests have or had.
func (c cluster) todo() []string {
	rs := maps.Clone(c.homes)
	for repository, es := range c.entries {
		if slices.ContainsFunc(es, entry.mayGo) {
			rs[repository] = nil
		}
	}
	return slices.Sorted(maps.Keys(rs))
}

// concerns reports whether a purge has to look at a repository in which the registry lists nothing without a tag.
func (c cluster) concerns(repository string) bool {
	return slices.ContainsFunc(c.entries[repository], func(e entry) bool {
		return e.mayGo() || e.tombstone.Spec.Cause == v1alpha1.CauseFound || c.forgotten(e)
	})
}
