package plan

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// foundIn returns a root for each digest that the registry lists without a tag, that no tombstone leads to and that
// nothing keeps. The purge writes its tombstone only after it has deleted. The digest and its parts stay until then,
// too, because they may belong to a push that has not ended. A part of another found digest has no root of its own.
func foundIn(r reading.Repository, g *graph.Graph, byDigest map[digest.Digest]*Verdict, reached map[digest.Digest]graph.Why) []graph.Root {
	if r.Err != nil {
		return nil
	}
	unknown := slices.DeleteFunc(slices.Clone(r.Listed), func(d digest.Digest) bool {
		_, kept := reached[d]
		return kept || byDigest[d] != nil || r.Missing[d]
	})
	var roots []graph.Root
	for _, d := range Tops(g, unknown) {
		if byDigest[d] == nil {
			roots = append(roots, graph.Root{Digest: d, Reason: GracePeriod, Because: "the registry lists " + d.String() + " without a tag and it has no tombstone: its grace begins with the one that a purge writes"})
		}
	}
	return roots
}

// confirm keeps a digest that was found in the cluster's own registry, unless the
// registry says now that nothing in it references the digest, and that the digest was not
// pushed again. A satellite tag or undo tag at the digest does not count as a reference.
func (v *Verdict) confirm(store *v1alpha1.ArtifactStore, r reading.Repository) {
	switch {
	case !v.Delete, v.Missing, v.Reason != Reason(v1alpha1.CauseFound), !store.InClusterRegistry():
	case r.Unreferenced == nil:
		v.Keep(Unreadable, "the registry did not say whether something in it needs it")
	case !r.Unreferenced[v.Digest] && len(r.Graph.TagsThatFollow(v.Digest)) == 0:
		v.Keep(GracePeriod, PushedAgain)
	}
}

// pushedAgain returns roots for the candidates that confirm keeps and that nothing else keeps. A digest that was
// pushed again stays with its parts, even if another tombstone lists a part that would otherwise be deleted.
func (c Cluster) pushedAgain(byDigest map[digest.Digest]*Verdict, reached map[digest.Digest]graph.Why, r reading.Repository) []graph.Root {
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

// Tops returns the digests among ds that are not parts of others among them.
func Tops(g *graph.Graph, ds []digest.Digest) []digest.Digest {
	var tops []digest.Digest
	g.Walk(slices.Concat(g.Layers(ds)...), func(_ int, d, from digest.Digest, _ Reason) {
		if from == "" {
			tops = append(tops, d)
		}
	})
	return tops
}
