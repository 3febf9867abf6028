package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// MinAbsence is the least time for which the registry must say that something does
// not exist before a purge believes it. It applies if the grace period is shorter.
const MinAbsence = time.Minute

// settles returns how long the registry must say that a digest of a tombstone does not exist before the
// tombstone gives it up: a whole grace period, or MinAbsence if an annotation has ended the grace period.
func (c Cluster) settles(t *v1alpha1.Tombstone) time.Duration {
	if _, now := t.Annotations[v1alpha1.AnnotationExpireNow]; now {
		return MinAbsence
	}
	return max(t.Spec.GracePeriod.Duration, c.Store.Spec.Purge.GracePeriod.Duration, MinAbsence)
}

// givesUp reports whether an entry is done with a digest that the registry says does not exist,
// because a purge deleted the digest, or because the registry has said so for a whole grace period.
func (c Cluster) givesUp(e *Entry, d digest.Digest) bool {
	since := e.Status.MissingSince
	return slices.Contains(e.Status.Deleted, d.String()) || (since != nil && c.Now.Sub(since.Time) >= c.settles(e.Tombstone))
}

// doubt returns how long a reference of a repository must fail to resolve before a purge believes it: a grace period. A
// digest that stands for a list without tags is doubted as long as if the registry said that this digest does not exist.
func (c Cluster) doubt(repository, reference string, r reading.Repository) time.Duration {
	usual := max(c.Store.Spec.Purge.GracePeriod.Duration, MinAbsence)
	if r.Err != nil || r.Graph.HasTags() || r.Missing[digest.Digest(reference)] {
		return usual
	}
	var longest time.Duration
	for _, e := range c.Entries[repository] {
		if n := len(e.Valid); n > 0 && e.Valid[n-1].String() == reference {
			longest = max(longest, c.settles(e.Tombstone))
		}
	}
	return cmp.Or(longest, usual)
}

// missingRoots returns roots for the digests that may be deleted and that the registry says do not exist. Such a digest
// stays a root until every entry that lists it gives it up, so that its parts and satellites are kept meanwhile.
func (c Cluster) missingRoots(entries []Entry, r reading.Repository) []graph.Root {
	var roots []graph.Root
	for i := range entries {
		e := &entries[i]
		for _, d := range e.Valid {
			if !e.MayGo() || !r.Missing[d] || c.givesUp(e, d) {
				continue
			}
			since := c.Now
			if e.Status.MissingSince != nil {
				since = e.Status.MissingSince.Time
			}
			roots = append(roots, graph.Root{Digest: d, Reason: Unsettled, Because: fmt.Sprintf(
				"the registry says since %s that it does not exist; %s is kept until a purge sees the same from %s on",
				since.UTC().Format(time.RFC3339), e.id(), since.Add(c.settles(e.Tombstone)).UTC().Format(time.RFC3339))})
		}
	}
	return roots
}

// unsettled returns why it is unknown what else a repository may keep; "" if it is known. It is
// unknown while a tag or a kept digest does not resolve, because what it leads to cannot be seen.
func (c Cluster) unsettled(repository string, r reading.Repository, kept []graph.Root) string {
	for _, reference := range c.unresolvedOf(repository, r, kept) {
		since, seen := c.unresolved[[2]string{repository, reference}]
		if !seen {
			since = c.Now
		}
		end := since.Add(c.doubt(repository, reference, r))
		if seen && !c.Now.Before(end) {
			continue
		}
		return fmt.Sprintf("%s is referred to and does not resolve, since %s: what it may protect is unknown until a purge sees the same from %s on",
			reference, since.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339))
	}
	return ""
}

// unresolvedOf returns the references of a repository that do not resolve, sorted: those that the
// registry shows, the missing tags that manifests without a status list, and, if the repository
// now has no tag at all, one digest that an earlier purge kept because of the registry's content.
func (c Cluster) unresolvedOf(repository string, r reading.Repository, kept []graph.Root) []string {
	all := r.Unresolved(kept)
	if r.Err != nil || len(c.Entries[repository]) == 0 {
		return all
	}
	for _, tag := range c.unseen[repository] {
		if r.Graph.Target(tag) == "" {
			all = append(all, tag)
		}
	}
	if one := c.untagged(repository); one != "" && !r.Graph.HasTags() {
		all = append(all, one)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// untagged returns a digest that stands for the list without tags of a repository, if an earlier purge
// kept an entry there because of the registry's content; "" if none did. It is the last digest of such
// an entry. A digest that the store's status records already is preferred, even if the reason of its
// entry has changed since. One digest for each repository is enough, because the status has little room.
func (c Cluster) untagged(repository string) string {
	var known, kept []string
	for _, e := range c.Entries[repository] {
		if len(e.Valid) == 0 {
			continue
		}
		last := e.Valid[len(e.Valid)-1].String()
		switch _, recorded := c.unresolved[[2]string{repository, last}]; {
		case recorded && (e.MayGo() || KeptByContent(e.Status)):
			known = append(known, last)
		case KeptByContent(e.Status):
			kept = append(kept, last)
		}
	}
	for _, some := range [][]string{known, kept} {
		if len(some) > 0 {
			return slices.Min(some)
		}
	}
	return ""
}

// Unresolved returns the references that do not resolve, for the store's status. Recorded references
// of repositories that could not be read stay. Recorded references of repositories that were not
// read are dropped: no purge has verified them since, and they must not take the room of others.
func (c Cluster) Unresolved(readings map[string]reading.Repository) []v1alpha1.UnresolvedReference {
	var all []v1alpha1.UnresolvedReference
	for _, u := range c.Store.Status.Unresolved {
		if readings[u.Repository].Err != nil {
			all = append(all, u)
		}
	}
	for _, repository := range slices.Sorted(maps.Keys(readings)) {
		r := readings[repository]
		if r.Err != nil {
			continue
		}
		for _, reference := range c.unresolvedOf(repository, r, roots(c.Entries[repository], c.recordedIn(repository, r), r.Locked, r.Graph)) {
			since, seen := c.unresolved[[2]string{repository, reference}]
			if !seen {
				since = c.Now
			}
			all = append(all, v1alpha1.UnresolvedReference{Repository: repository, TagOrDigest: reference, Since: metav1.NewTime(since)})
		}
	}
	// If there are too many, those that have been unresolved for the longest time are recorded.
	slices.SortStableFunc(all, func(a, b v1alpha1.UnresolvedReference) int { return a.Since.Compare(b.Since.Time) })
	return all[:min(len(all), v1alpha1.MaxUnresolved)]
}
