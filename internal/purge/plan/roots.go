package plan

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// Keeps returns the roots that objects of the cluster give a repository.
func (c Cluster) Keeps(repository string) []graph.Root {
	return slices.Concat(c.Recorded[repository], keeping(c.Entries[repository]))
}

// Roots returns all roots of a repository that has the content of a graph.
func (c Cluster) Roots(repository string, locked []digest.Digest, g *graph.Graph) []graph.Root {
	return roots(c.Entries[repository], c.Recorded[repository], locked, g)
}

// Used returns what the tags of a repository and the digests that are recorded in it lead to.
func (c Cluster) Used(repository string, g *graph.Graph) map[digest.Digest]graph.Why {
	return g.Reach(slices.Concat(c.Recorded[repository], tagged(nil, g)))
}

// NamedBy returns what references a digest directly; "" for nothing. It is pure.
func (c Cluster) NamedBy(at reading.Key) string {
	for _, root := range c.Keeps(at.Repository) {
		if root.Digest == at.Digest {
			return Explain(graph.Why{Root: root, Reason: root.Reason})
		}
	}
	return ""
}

// recordedIn returns the digests that are recorded in a repository. Digests that workloads reference and the registry
// does not have are left out: otherwise anyone who may create a pod could block every purge of the repository.
func (c Cluster) recordedIn(repository string, r reading.Repository) []graph.Root {
	gone := func(root graph.Root) bool { return root.Reason == InUse && r.Missing[root.Digest] }
	if all := c.Recorded[repository]; !slices.ContainsFunc(all, gone) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(c.Recorded[repository]), gone)
}

// roots returns all roots of one repository.
func roots(entries []Entry, recorded []graph.Root, locked []digest.Digest, g *graph.Graph) []graph.Root {
	rs := slices.Concat(recorded, keeping(entries), tagged(entries, g))
	for _, d := range locked {
		rs = append(rs, graph.Root{Digest: d, Reason: Locked, Because: d.String() + " is locked in the registry"})
	}
	return rs
}

// keeping returns the roots that entries give. If several grace periods protect a digest, the last one to end counts.
func keeping(entries []Entry) []graph.Root {
	var roots []graph.Root
	last := map[digest.Digest]Entry{}
	for _, e := range entries {
		if e.MayGo() {
			continue
		}
		for _, d := range e.Valid {
			if e.until.IsZero() {
				roots = append(roots, graph.Root{Digest: d, Reason: e.Keep, Because: e.because})
			} else if have, ok := last[d]; !ok || have.until.Before(e.until) {
				last[d] = e
			}
		}
	}
	for d, e := range last {
		roots = append(roots, graph.Root{Digest: d, Reason: GracePeriod, Because: e.because})
	}
	return roots
}

// tagged returns the roots that tags give. Every ordinary tag gives one, except nfo's own tags: undo
// tags, and tags that exist only because the registry cannot remove tags and whose entry may be deleted.
func tagged(entries []Entry, g *graph.Graph) []graph.Root {
	ours, shared := map[string]bool{}, map[digest.Digest]bool{}
	for _, e := range entries {
		if e.Candidate && e.MayGo() && e.ownTag() && slices.Contains(e.Valid, g.Target(e.Tag)) {
			ours[e.Tag], shared[g.Target(e.Tag)] = true, true
		}
	}
	tags := g.Tags()
	roots := make([]graph.Root, 0, len(tags))
	for _, tag := range tags {
		d := g.Target(tag)
		if ours[tag] || graph.IsUndoTag(tag, d) {
			continue
		}
		root := graph.Root{Digest: d, Reason: Tagged, Because: `tag "` + tag + `" points at it`}
		if shared[d] {
			root.Reason, root.Because = SharedTag, `tag "`+tag+`", which is not ours to remove, points at it too`
		}
		roots = append(roots, root)
	}
	return roots
}

// Explain says how a digest is kept, in words.
func Explain(w graph.Why) string {
	edges := map[Reason]string{graph.IndexChild: "child of ", graph.Referrer: "satellite of ", graph.Subject: "subject of "}
	switch w.From {
	case "":
		return w.Root.Because
	case w.Root.Digest:
		return edges[w.Reason] + w.From.String() + ", which is kept: " + w.Root.Because
	}
	return edges[w.Reason] + w.From.String() + ", which is kept with " + w.Root.Digest.String() + ": " + w.Root.Because
}
