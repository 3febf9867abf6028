package purge

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
)

// Reason is the one word of a verdict. A digest that may go has the cause of the tombstone that
// brings it: Released, Removed, Overwritten or Found. One that is kept has one of these, or an
// edge of the graph: IndexChild, Referrer or Subject.
type Reason = graph.Reason

// Why a digest is kept.
const (
	// Tagged: an ordinary tag that is not ours to remove points at it.
	Tagged Reason = "Tagged"
	// Held: a manifest, definition or design names it, or its tombstone is in other hands.
	Held Reason = "Held"
	// GracePeriod: it can still be restored, or its tag has not been seen gone.
	GracePeriod Reason = "GracePeriod"
	// Unreadable: something that could name it cannot be read.
	Unreadable Reason = "Unreadable"
	// OverBudget: older ones go first, up to maxDeletions.
	OverBudget Reason = "OverBudget"
	// NotOurs: it lies where the store and the manifest's name do not give.
	NotOurs Reason = "NotOurs"
	// Unsupported: deletion is disabled at the registry.
	Unsupported Reason = "Unsupported"
	// Denied: the registry refuses to delete it.
	Denied Reason = "Denied"
	// Interrupted: the purge ended before it came to it.
	Interrupted Reason = "Interrupted"
)

// Verdict says what becomes of one candidate digest.
type Verdict struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// Delete: it may go, or after a sweep has gone.
	Delete bool `json:"delete"`
	// Missing: it was not in the registry any more.
	Missing bool   `json:"missing,omitempty"`
	Reason  Reason `json:"reason"`
	// Message says more, for people.
	Message string `json:"message,omitempty"`
	// Tombstones that name it or what it is a part of, by name.
	Tombstones []string `json:"tombstones"`
	// UntaggedAt is when the last of the tags went that it was released from.
	UntaggedAt time.Time `json:"untaggedAt"`
}

// plan gives every candidate digest one verdict. It is pure. The order is that of sweeping:
// by repository, parents before their parts.
func plan(c cluster, readings map[string]reading) []Verdict {
	var vs []Verdict
	for _, repository := range slices.Sorted(maps.Keys(c.entries)) {
		r, ok := readings[repository]
		if !ok { // nothing in it may go
			r.graph = graph.Build(nil, nil)
		}
		vs = append(vs, planRepository(repository, c.entries[repository], c.recorded[repository], r)...)
	}
	return budget(vs, int(c.store.Spec.Purge.MaxDeletions))
}

// planRepository gives the candidates of one repository their verdicts.
func planRepository(repository string, entries []entry, recorded []graph.Root, r reading) []Verdict {
	g := r.graph
	if r.err != nil {
		g = graph.Build(nil, nil)
	}
	reached := g.Reach(slices.Concat(recorded, keeping(entries), tagged(entries, g)))
	byDigest := map[digest.Digest]*Verdict{}
	for _, e := range entries {
		if e.candidate {
			propose(byDigest, e, g)
		}
	}
	var vs []Verdict
	for _, d := range slices.Sorted(maps.Keys(byDigest)) {
		v := byDigest[d]
		v.Repository, v.Digest = repository, d
		why, kept := reached[d]
		switch {
		case kept:
			v.Delete, v.Reason, v.Message = false, why.Reason, explain(why)
		case d.Validate() != nil:
			v.Delete, v.Reason, v.Message = false, Unreadable, "it is not a digest"
		case r.err != nil:
			v.Delete, v.Reason, v.Message = false, Unreadable, r.err.Error()
		case r.missing[d]:
			v.Missing, v.Message = true, "it is no longer in the registry"
		}
		vs = append(vs, *v)
	}
	// Whatever has parts has all the parts of each of them, and that one: so it comes before it.
	parts := make(map[digest.Digest]int, len(vs))
	for _, v := range vs {
		parts[v.Digest] = len(g.Parts(v.Digest))
	}
	slices.SortStableFunc(vs, func(a, b Verdict) int { return cmp.Compare(parts[b.Digest], parts[a.Digest]) })
	return vs
}

// propose adds what an entry brings: its digests and, where they may go, what goes with them.
// Entries come by tombstone and tag; the first one gives a digest its reason.
func propose(byDigest map[digest.Digest]*Verdict, e entry, g *graph.Graph) {
	for _, s := range e.Digests {
		ds := []digest.Digest{digest.Digest(s)}
		if e.mayGo() {
			ds = g.Parts(ds[0])
		}
		for _, d := range ds {
			v := byDigest[d]
			if v == nil {
				v = &Verdict{Delete: true, Reason: Reason(e.tombstone.Spec.Cause)}
				byDigest[d] = v
			}
			if !slices.Contains(v.Tombstones, e.tombstone.Name) {
				v.Tombstones = append(v.Tombstones, e.tombstone.Name)
			}
			if at := e.status.UntaggedAt.Time; at.After(v.UntaggedAt) {
				v.UntaggedAt = at
			}
		}
	}
}

// keeping returns the roots that entries are. Of several graces of a digest the last one counts.
func keeping(entries []entry) []graph.Root {
	var roots []graph.Root
	last := map[digest.Digest]entry{}
	for _, e := range entries {
		if e.mayGo() {
			continue
		}
		for _, d := range e.valid {
			if e.until.IsZero() {
				roots = append(roots, graph.Root{Digest: d, Reason: e.keep, Because: e.because})
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

// tagged returns the roots that tags are: all ordinary ones but those that are there only
// because the registry does not remove tags, while their entry may go.
func tagged(entries []entry, g *graph.Graph) []graph.Root {
	ours := map[string]bool{}
	for _, e := range entries {
		if e.candidate && e.mayGo() && e.ownTag() && slices.Contains(e.valid, g.Target(e.Tag)) {
			ours[e.Tag] = true
		}
	}
	var roots []graph.Root
	for _, tag := range g.Tags() {
		if !ours[tag] {
			roots = append(roots, graph.Root{Digest: g.Target(tag), Reason: Tagged, Because: `tag "` + tag + `" points at it`})
		}
	}
	return roots
}

// explain says how a digest is kept.
func explain(w graph.Why) string {
	edges := map[Reason]string{graph.IndexChild: "child of ", graph.Referrer: "satellite of ", graph.Subject: "subject of "}
	switch w.From {
	case "":
		return w.Root.Because
	case w.Root.Digest:
		return edges[w.Reason] + w.From.String() + ", which is kept: " + w.Root.Because
	}
	return edges[w.Reason] + w.From.String() + ", which is kept with " + w.Root.Digest.String() + ": " + w.Root.Because
}

// budget keeps what is over the cap: those untagged last. A part is never older than what it is
// a part of, because every entry that brings the one brings the other; so it is never cut off
// from above.
func budget(vs []Verdict, limit int) []Verdict {
	var going []int
	for i, v := range vs {
		if v.Delete && !v.Missing {
			going = append(going, i)
		}
	}
	if limit <= 0 || len(going) <= limit {
		return vs
	}
	slices.SortStableFunc(going, func(a, b int) int { return vs[a].UntaggedAt.Compare(vs[b].UntaggedAt) })
	for _, i := range going[limit:] {
		vs[i].Delete, vs[i].Reason, vs[i].Message = false, OverBudget, "maxDeletions is reached; what was untagged earlier goes first"
	}
	return vs
}
