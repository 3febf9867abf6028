package reading

import (
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
)

// Repository is what one repository showed.
type Repository struct {
	// Begun is when reading it began.
	Begun time.Time
	// Graph is what tags point at and what image manifests refer to.
	Graph *graph.Graph
	// Missing are digests that were asked for and that the registry says do not exist.
	Missing map[digest.Digest]bool
	// Opaque are those of them that an index refers to as another index: what they refer to is unknown.
	Opaque map[digest.Digest]bool
	// Dangling are tags that are listed and do not resolve.
	Dangling []string
	// Listed are digests that the registry's own list, where it has one, shows without a tag, and
	// Locked those that it will not delete.
	Listed, Locked []digest.Digest
	// Unreferenced are those listed of the cluster's own registry; nil where that is not known.
	Unreferenced map[digest.Digest]bool
	// Err says why the repository cannot be read whole; then nothing else of the reading counts.
	Err error
}

// NumTags is how many tags are listed.
func (r Repository) NumTags() int { return r.Graph.NumTags() + len(r.Dangling) }

// Unresolved are the references of the repository that lead to something unknown, sorted: tags, and
// digests that are kept or that may be indexes.
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
