package purge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
)

// plan gives every candidate digest one verdict. It is pure, and takes one pass over what was read.
// The order is that of sweeping: by repository, parents before their parts.
func plan(c cluster, readings map[string]reading) []Verdict {
	repositories := map[string]bool{}
	for repository := range c.entries {
		repositories[repository] = true
	}
	for repository := range readings {
		repositories[repository] = true
	}
	var each [][]*Verdict
	total := 0
	for _, repository := range slices.Sorted(maps.Keys(repositories)) {
		r, ok := readings[repository]
		if !ok { // nothing in it may go
			r.graph = graph.Build(nil, nil)
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
	return budget(all, int(c.store.Spec.Purge.MaxDeletions))
}

// planRepository gives the candidates of one repository their verdicts.
func (c cluster) planRepository(repository string, r reading) []Verdict {
	vs := c.verdicts(repository, r)
	all := make([]Verdict, len(vs))
	for i, v := range vs {
		all[i] = *v
	}
	return all
}

// verdicts are those of the candidates of one repository, parents before their parts.
func (c cluster) verdicts(repository string, r reading) []*Verdict {
	g, entries := r.graph, c.entries[repository]
	if r.err != nil {
		g = graph.Build(nil, nil)
	}
	recorded := c.recordedIn(repository, r)
	keepWhole(entries, recorded, g)
	kept := roots(entries, recorded, r.locked, g)
	byDigest, unsettled := propose(entries, g, r.missing), c.unsettled(repository, r, kept)
	reached := c.reach(slices.Concat(kept, c.absent(entries, r)), byDigest, g, r)
	unknown := slices.DeleteFunc(slices.Clone(r.listed), func(d digest.Digest) bool {
		_, kept := reached[d]
		return kept || byDigest[d] != nil || r.missing[d]
	})
	for _, d := range tops(g, unknown) {
		if byDigest[d] == nil {
			byDigest[d] = &Verdict{Reason: GracePeriod, Message: "the registry lists it without a tag and it has no tombstone: its grace begins with the one that a purge writes"}
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
				v.keep(why.Reason, explain(why))
			}
			if kept && v.Missing && why.Reason != Unsettled {
				v.Message += "; it is not in the registry"
			}
			vs = append(vs, v)
		}
	}
	return vs
}

// reach is what roots lead to, and the candidates that were pushed again.
func (c cluster) reach(kept []graph.Root, byDigest map[digest.Digest]*Verdict, g *graph.Graph, r reading) map[digest.Digest]graph.Why {
	reached := g.Reach(kept)
	if again := c.again(byDigest, reached, r); len(again) > 0 {
		reached = g.Reach(append(kept, again...))
	}
	return reached
}

func (v *Verdict) keep(why Reason, message string) {
	v.Delete, v.Reason, v.Message = false, why, message
}

// judge completes the verdict of a candidate that nothing reaches.
func (v *Verdict) judge(r reading, unsettled string) {
	switch {
	case v.Digest.Validate() != nil:
		v.keep(Unreadable, "it is not a digest")
	case r.err != nil:
		v.keep(Unreadable, r.err.Error())
	case r.missing[v.Digest]:
		v.Missing, v.Message = true, "it is not in the registry any more"
	case unsettled != "" && v.Delete:
		v.keep(Unsettled, unsettled)
	}
}

// absent makes roots of the digests that may go and that the registry says do not exist, until all entries
// that name them may give them up: what belongs to them stays with them.
func (c cluster) absent(entries []entry, r reading) []graph.Root {
	var roots []graph.Root
	for i := range entries {
		e := &entries[i]
		for _, d := range e.valid {
			if !e.mayGo() || !r.missing[d] || c.givesUp(e, d) {
				continue
			}
			since := c.now
			if e.status.MissingSince != nil {
				since = e.status.MissingSince.Time
			}
			roots = append(roots, graph.Root{Digest: d, Reason: Unsettled, Because: fmt.Sprintf(
				"the registry says since %s that it does not exist; %s is kept until a purge sees the same from %s on",
				since.UTC().Format(time.RFC3339), e.id(), since.Add(c.settles(e.tombstone)).UTC().Format(time.RFC3339))})
		}
	}
	return roots
}

// unsettled says why it is unknown what else a repository may keep, "" when it is known: a tag, or a
// digest that is kept, does not resolve, and whatever it leads to does not show.
func (c cluster) unsettled(repository string, r reading, kept []graph.Root) string {
	for _, reference := range c.unresolvedOf(repository, r, kept) {
		if c.settled(repository, reference) {
			continue
		}
		since, seen := c.unresolved[[2]string{repository, reference}]
		if !seen {
			since = c.now
		}
		return fmt.Sprintf("%s is referred to and does not resolve, since %s: what it may protect is unknown until a purge sees the same from %s on",
			reference, since.UTC().Format(time.RFC3339), since.Add(max(c.store.Spec.Purge.GracePeriod.Duration, minAbsence)).UTC().Format(time.RFC3339))
	}
	return ""
}

// recordedIn are the digests that are recorded in a repository. What workloads name and the registry does not have keeps
// nothing: anyone who may make a pod could else keep a repository from every purge.
func (c cluster) recordedIn(repository string, r reading) []graph.Root {
	gone := func(root graph.Root) bool { return root.Reason == InUse && r.missing[root.Digest] }
	if all := c.recorded[repository]; !slices.ContainsFunc(all, gone) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(c.recorded[repository]), gone)
}

// unresolvedOf are the references of a repository that lead to something unknown, sorted. Besides those that the
// registry shows, they are the tags that manifests without a status list and that are not there; and
// the digests that an earlier purge kept for what was in the registry, where now not a single tag is.
func (c cluster) unresolvedOf(repository string, r reading, kept []graph.Root) []string {
	all := r.unresolved(kept)
	if r.err != nil || len(c.entries[repository]) == 0 {
		return all
	}
	for _, tag := range c.unseen[repository] {
		if r.graph.Target(tag) == "" {
			all = append(all, tag)
		}
	}
	if !r.graph.HasTags() {
		for _, e := range c.entries[repository] {
			if len(e.valid) > 0 && e.keptByContent() {
				all = append(all, e.valid[len(e.valid)-1].String())
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// keptByContent reports whether the last purge kept an entry because something in the registry needed it.
func (e entry) keptByContent() bool {
	return e.status.State == v1alpha1.TombstoneKept && slices.ContainsFunc([]Reason{Tagged, SharedTag, graph.IndexChild}, func(by Reason) bool {
		return strings.HasPrefix(e.status.Reason, string(by))
	})
}

// unresolvedIn updates what a store remembers of references that do not resolve: those of repositories
// that were not read stay.
func (c cluster) unresolvedIn(readings map[string]reading) []v1alpha1.UnresolvedReference {
	var all []v1alpha1.UnresolvedReference
	for _, u := range c.store.Status.Unresolved {
		if r, read := readings[u.Repository]; !read || r.err != nil {
			all = append(all, u)
		}
	}
	for _, repository := range slices.Sorted(maps.Keys(readings)) {
		r := readings[repository]
		if r.err != nil {
			continue
		}
		for _, reference := range c.unresolvedOf(repository, r, roots(c.entries[repository], c.recordedIn(repository, r), r.locked, r.graph)) {
			since, seen := c.unresolved[[2]string{repository, reference}]
			if !seen {
				since = c.now
			}
			all = append(all, v1alpha1.UnresolvedReference{Repository: repository, TagOrDigest: reference, Since: metav1.NewTime(since)})
		}
	}
	// Those that have waited longest are remembered.
	slices.SortStableFunc(all, func(a, b v1alpha1.UnresolvedReference) int { return a.Since.Compare(b.Since.Time) })
	return all[:min(len(all), v1alpha1.MaxUnresolved)]
}

// source is a digest that may go, of the entry that names it.
type source struct {
	digest digest.Digest
	entry  *entry
}

// propose makes a verdict of each digest that entries bring: their own and, where they may go, what
// goes with these. Entries come by tombstone and tag; the first one gives a digest its reason.
func propose(entries []entry, g *graph.Graph, missing map[digest.Digest]bool) map[digest.Digest]*Verdict {
	byDigest, going := own(entries)
	walk := func(visit func(e *entry, d, from digest.Digest, by Reason)) {
		ds := make([]digest.Digest, len(going))
		for i, s := range going {
			ds[i] = s.digest
		}
		g.Walk(ds, func(i int, d, from digest.Digest, by Reason) { visit(going[i].entry, d, from, by) })
	}
	walk(func(e *entry, d, from digest.Digest, by Reason) {
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
	// The latest of the entries that lead to a digest counts.
	slices.SortStableFunc(going, func(a, b source) int { return b.entry.status.UntaggedAt.Compare(a.entry.status.UntaggedAt.Time) })
	walk(func(e *entry, d, _ digest.Digest, _ Reason) { byDigest[d].untaggedAt(e) })
	return byDigest
}

// own makes a verdict of each digest that entries name, and returns those that may go.
func own(entries []entry) (byDigest map[digest.Digest]*Verdict, going []source) {
	byDigest = map[digest.Digest]*Verdict{}
	for i := range entries {
		e := &entries[i]
		if !e.candidate {
			continue
		}
		for _, text := range e.Digests {
			d := digest.Digest(text)
			if byDigest[d] == nil {
				byDigest[d] = &Verdict{Delete: true, Reason: Reason(e.tombstone.Spec.Cause)}
			}
			byDigest[d].broughtBy(e)
			if e.mayGo() {
				going = append(going, source{d, e})
			}
		}
	}
	return byDigest, going
}

// broughtBy notes an entry. All entries of a tombstone follow one another.
func (v *Verdict) broughtBy(e *entry) {
	if n := len(v.Tombstones); n == 0 || v.Tombstones[n-1] != e.tombstone.Name {
		v.Tombstones = append(v.Tombstones, e.tombstone.Name)
	}
	v.untaggedAt(e)
}

func (v *Verdict) untaggedAt(e *entry) {
	if at := e.status.UntaggedAt.Time; at.After(v.UntaggedAt) {
		v.UntaggedAt = at
	}
}

// roots are all that is kept for its own sake in one repository.
func roots(entries []entry, recorded []graph.Root, locked []digest.Digest, g *graph.Graph) []graph.Root {
	rs := slices.Concat(recorded, keeping(entries), tagged(entries, g))
	for _, d := range locked {
		rs = append(rs, graph.Root{Digest: d, Reason: Locked, Because: d.String() + " is locked in the registry"})
	}
	return rs
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

// tagged returns the roots that tags are: all ordinary ones but those of ours, which are the tags
// that keep an undo, and those that are there only because the registry does not remove tags,
// while their entry may go.
func tagged(entries []entry, g *graph.Graph) []graph.Root {
	ours, shared := map[string]bool{}, map[digest.Digest]bool{}
	for _, e := range entries {
		if e.candidate && e.mayGo() && e.ownTag() && slices.Contains(e.valid, g.Target(e.Tag)) {
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

// budget keeps what is over the cap: those untagged last.
func budget(vs []Verdict, limit int) []Verdict {
	going := inOrder(vs)
	if limit <= 0 || len(going) <= limit {
		return vs
	}
	for _, i := range going[limit:] {
		vs[i].Delete, vs[i].Reason, vs[i].Message = false, OverBudget, "maxDeletions is reached; what was untagged earlier goes first"
	}
	return vs
}

// inOrder returns, as indexes, the digests to be deleted in the order in which they are taken when
// not all of them are. A part is never older than what it is a part of, because every entry that
// brings the one brings the other: so a cut in this order never takes a part from what stays.
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
