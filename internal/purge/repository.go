package purge

import (
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
)

// reading is what one repository showed.
type reading struct {
	begun time.Time // when it began
	graph *graph.Graph
	// missing are digests that were asked for and that the registry says do not exist.
	missing map[digest.Digest]bool
	// opaque are those of them that an index refers to as another index: what they refer to is unknown.
	opaque map[digest.Digest]bool
	// dangling are tags that are listed and do not resolve.
	dangling []string
	// listed are digests that the registry's own list, where it has one, shows without a tag, and
	// locked those that it will not delete.
	listed, locked []digest.Digest
	// unreferenced are those listed of the cluster's own registry; nil where that is not known.
	unreferenced map[digest.Digest]bool
	// err says why the repository cannot be read whole; then nothing else of the reading counts.
	err error
}

// tags is how many are listed.
func (r reading) tags() int { return r.graph.NumTags() + len(r.dangling) }

// unresolved are the references of the repository that lead to something unknown, sorted: tags, and
// digests that are kept or that may be indexes.
func (r reading) unresolved(kept []graph.Root) []string {
	if r.err != nil {
		return nil
	}
	all := map[string]bool{}
	for _, tag := range r.dangling {
		all[tag] = true
	}
	for d := range r.opaque {
		all[d.String()] = true
	}
	for _, root := range kept {
		if r.missing[root.Digest] {
			all[root.Digest.String()] = true
		}
	}
	for _, d := range r.graph.Targets() {
		if r.missing[d] {
			all[d.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
