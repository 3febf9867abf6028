package plan

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// Decide gives every candidate digest one verdict. It is pure, and takes one pass over what was
// read. The verdicts are in the order of sweeping: by repository, parents before their parts.
func Decide(c Cluster, readings map[string]reading.Repository) []Verdict {
	repositories := map[string]bool{}
	for repository := range c.Entries {
		repositories[repository] = true
	}
	for repository := range readings {
		repositories[repository] = true
	}
	var each [][]*Verdict
	total := 0
	for _, repository := range slices.Sorted(maps.Keys(repositories)) {
		r, ok := readings[repository]
		if !ok { // nothing in it may be deleted
			r.Graph = graph.Build(nil, nil)
		}
		vs := c.verdicts(repository, r)
		each, total = append(each, vs), total+len(vs)
	}
	all := make([]Verdict, 0, total)
	for _, vs := range each {
		for _, v := range vs {
			all = append(all, *v)
		}
	}
	return Budget(all, int(c.Store.Spec.Purge.MaxDeletions))
}

// DecideRepository returns the verdicts for the candidates of one repository.
func (c Cluster) DecideRepository(repository string, r reading.Repository) []Verdict {
	vs := c.verdicts(repository, r)
	all := make([]Verdict, len(vs))
	for i, v := range vs {
		all[i] = *v
	}
	return all
}

// verdicts returns the verdicts for the candidates of one repository, parents before their parts.
func (c Cluster) verdicts(repository string, r reading.Repository) []*Verdict {
	g, entries := r.Graph, c.Entries[repository]
	if r.Err != nil {
		g = graph.Build(nil, nil)
	}
	recorded := c.recordedIn(repository, r)
	keepWhole(entries, recorded, g)
	kept := slices.Concat(roots(entries, recorded, r.Locked, g), c.listedInUse(repository, r))
	byDigest, unsettled := propose(entries, g, r.Missing), c.unsettled(repository, r, kept)
	kept = slices.Concat(kept, c.missingRoots(entries, r))
	reached := c.reach(kept, byDigest, g, r)
	if found := foundIn(r, g, byDigest, reached); len(found) > 0 {
		reached = c.reach(slices.Concat(kept, found), byDigest, g, r)
		for _, root := range found {
			byDigest[root.Digest] = &Verdict{}
		}
	}
	vs := make([]*Verdict, 0, len(byDigest))
	for _, layer := range g.Layers(slices.AppendSeq(make([]digest.Digest, 0, len(byDigest)), maps.Keys(byDigest))) {
		for _, d := range layer {
			v := byDigest[d]
			v.Repository, v.Digest = repository, d
			why, kept := reached[d]
			v.judge(r, unsettled)
			if kept {
				v.Keep(why.Reason, Explain(why))
			}
			if kept && v.Missing && why.Reason != Unsettled {
				v.Message += "; it is not in the registry"
			}
			vs = append(vs, v)
		}
	}
	return vs
}

// reach returns what the roots lead to, and what the candidates that were pushed again lead to.
func (c Cluster) reach(kept []graph.Root, byDigest map[digest.Digest]*Verdict, g *graph.Graph, r reading.Repository) map[digest.Digest]graph.Why {
	reached := g.Reach(kept)
	if again := c.pushedAgain(byDigest, reached, r); len(again) > 0 {
		reached = g.Reach(append(kept, again...))
	}
	return reached
}

// Keep sets the verdict to keep, with a reason and a message.
func (v *Verdict) Keep(why Reason, message string) {
	v.Delete, v.Reason, v.Message = false, why, message
}

// judge completes the verdict for a candidate that nothing reaches.
func (v *Verdict) judge(r reading.Repository, unsettled string) {
	switch {
	case v.Digest.Validate() != nil:
		v.Keep(Unreadable, "it is not a digest")
	case r.Err != nil:
		v.Keep(Unreadable, r.Err.Error())
	case r.Missing[v.Digest]:
		v.Missing, v.Message = true, "it is not in the registry any more"
	case unsettled != "" && v.Delete:
		v.Keep(Unsettled, unsettled)
	}
}

// source is a digest that may be deleted, with the entry that lists it.
type source struct {
	digest digest.Digest
	entry  *Entry
}

// propose returns a verdict for each digest that entries list and, if they may be deleted, for what is deleted
// with these digests. Entries are sorted by tombstone and tag, and the first one gives a digest its reason.
func propose(entries []Entry, g *graph.Graph, missing map[digest.Digest]bool) map[digest.Digest]*Verdict {
	byDigest, going := proposeListed(entries)
	walk := func(visit func(e *Entry, d, from digest.Digest, by Reason)) {
		ds := make([]digest.Digest, len(going))
		for i, s := range going {
			ds[i] = s.digest
		}
		g.Walk(ds, func(i int, d, from digest.Digest, by Reason) { visit(going[i].entry, d, from, by) })
	}
	walk(func(e *Entry, d, from digest.Digest, by Reason) {
		if byDigest[d] != nil {
			return
		}
		v := &Verdict{Delete: true, Reason: byDigest[from].Reason}
		if by == graph.Referrer && missing[from] {
			v.Reason = OrphanReferrer
		}
		v.broughtBy(e)
		byDigest[d] = v
	})
	// The entry that was untagged last, among those that lead to a digest, gives the digest its time.
	slices.SortStableFunc(going, func(a, b source) int { return b.entry.Status.UntaggedAt.Compare(a.entry.Status.UntaggedAt.Time) })
	walk(func(e *Entry, d, _ digest.Digest, _ Reason) { byDigest[d].untaggedAt(e) })
	return byDigest
}

// proposeListed returns a verdict for each digest that entries list, and the digests that may be deleted.
func proposeListed(entries []Entry) (byDigest map[digest.Digest]*Verdict, going []source) {
	byDigest = map[digest.Digest]*Verdict{}
	for i := range entries {
		e := &entries[i]
		if !e.Candidate {
			continue
		}
		for _, text := range e.Digests {
			d := digest.Digest(text)
			if byDigest[d] == nil {
				byDigest[d] = &Verdict{Delete: true, Reason: Reason(e.Tombstone.Spec.Cause)}
			}
			byDigest[d].broughtBy(e)
			if e.MayGo() {
				going = append(going, source{d, e})
			}
		}
	}
	return byDigest, going
}

// broughtBy adds the tombstone and the time of an entry to a verdict. The
// entries of a tombstone follow one another, so that each name is added once.
func (v *Verdict) broughtBy(e *Entry) {
	if n := len(v.Tombstones); n == 0 || v.Tombstones[n-1] != e.Tombstone.Name {
		v.Tombstones = append(v.Tombstones, e.Tombstone.Name)
	}
	v.untaggedAt(e)
}

func (v *Verdict) untaggedAt(e *Entry) {
	if at := e.Status.UntaggedAt.Time; at.After(v.UntaggedAt) {
		v.UntaggedAt = at
	}
}

// Budget keeps the digests beyond the limit, which are those that were untagged last. A limit of 0 or less means no limit.
func Budget(vs []Verdict, limit int) []Verdict {
	going := inOrder(vs)
	if limit <= 0 || len(going) <= limit {
		return vs
	}
	for _, i := range going[limit:] {
		vs[i].Delete, vs[i].Reason, vs[i].Message = false, OverBudget, "maxDeletions is reached; what was untagged earlier goes first"
	}
	return vs
}

// inOrder returns, as indexes, the digests to be deleted in the order in which they are deleted if not all of them
// are: those untagged first come first. A part was never untagged before what it is a part of, because every entry
// that leads to the parent leads to the part. So a cut in this order never deletes a part of something that stays.
func inOrder(vs []Verdict) []int {
	going := make([]int, 0, len(vs))
	for i := range vs {
		if vs[i].Delete && !vs[i].Missing {
			going = append(going, i)
		}
	}
	slices.SortStableFunc(going, func(a, b int) int { return vs[a].UntaggedAt.Compare(vs[b].UntaggedAt) })
	return going
}
