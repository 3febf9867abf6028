package plan

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// confirm keeps what was found in the cluster's own registry, and what goes with it, unless the registry says now that
// nothing in it references the digest, and that nobody has pushed it again. A tag of a satellite references nothing.
func (v *Verdict) confirm(store *v1alpha1.ArtifactStore, r reading.Repository) {
	switch {
	case !v.Delete, v.Missing, v.Reason != Reason(v1alpha1.CauseFound), !store.InClusterRegistry():
	case r.Unreferenced == nil:
		v.Keep(Unreadable, "the registry did not say whether something in it needs it")
	case !r.Unreferenced[v.Digest] && len(r.Graph.TagsThatFollow(v.Digest)) == 0:
		v.Keep(GracePeriod, PushedAgain)
	}
}

// again makes roots of the candidates that confirm keeps and that nothing else does: what somebody pushed again stays with
// its parts, also with those that another tombstone names and that would be deleted.
func (c Cluster) again(byDigest map[digest.Digest]*Verdict, reached map[digest.Digest]graph.Why, r reading.Repository) []graph.Root {
	var roots []graph.Root
	for d, candidate := range byDigest {
		v := *candidate
		v.Digest = d
		v.judge(r, "")
		before := v.Delete
		v.confirm(c.Store, r)
		if _, kept := reached[d]; before && !v.Delete && !kept {
			roots = append(roots, graph.Root{Digest: d, Reason: v.Reason, Because: v.Message})
		}
	}
	return roots
}

// Tops are those of some digests that are not parts of others among them.
func Tops(g *graph.Graph, ds []digest.Digest) []digest.Digest {
	var tops []digest.Digest
	g.Walk(slices.Concat(g.Layers(ds)...), func(_ int, d, from digest.Digest, _ Reason) {
		if from == "" {
			tops = append(tops, d)
		}
	})
	return tops
}
