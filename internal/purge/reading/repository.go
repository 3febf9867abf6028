package reading

import (
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
)

// Repository is what a reading of one repository showed.
type Repository struct {
	// Begun is when the reading began.
	Begun time.Time
	// Graph is what tags point at and what image manifests refer to.
	Graph *graph.Graph
	// Missing are digests that were asked for and that the registry says do not exist.
	Missing map[digest.Digest]bool
	// Opaque are the missing digests that an index lists and that may be indexes themselves: what they refer to is unknown.
	Opaque map[digest.Digest]bool
	// Dangling are tags that are listed and do not resolve.
	Dangling []string
	// Listed are digests that the registry's own list, if it has one,
	// shows without a tag. Locked are digests that it refuses to delete.
	Listed, Locked []digest.Digest
	// Unlisted reports whether the registry answered that it has no such list; see Listing.Absent.
	Unlisted bool
	// Unreferenced are the digests in Listed if the cluster's own registry listed them; nil where that is unknown.
	Unreferenced map[digest.Digest]bool
	// Err says why the repository cannot be read whole. If it is set, nothing else of the reading counts.
	Err error
}

// NumTags returns how many tags are listed, including dangling ones.
func (r Repository) NumTags() int { return r.Graph.NumTags() + len(r.Dangling) }

// Unresolved returns the references of the repository that do not resolve, so that what they lead to is unknown,
// sorted: dangling tags, and missing digests that are kept, that a tag points at, or that may be indexes.
func (r Repository) Unresolved(kept []graph.Root) []string {
	if r.Err != nil {
		return nil
	}
	all := map[string]bool{}
	for _, tag := range r.Dangling {
		all[tag] = true
	}
	for d := range r.Opaque {
		all[d.String()] = true
	}
	for _, root := range kept {
		if r.Missing[root.Digest] {
			all[root.Digest.String()] = true
		}
	}
	for _, d := range r.Graph.Targets() {
		if r.Missing[d] {
			all[d.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
