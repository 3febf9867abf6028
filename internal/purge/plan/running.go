package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// maxRoots is the most digests that workloads may reference in one repository, because
// each takes a request. If there are more, all entries of the repository are kept.
const maxRoots = 1000

// addRunning adds the digests that workloads reference to the recorded ones, in the repositories that have entries.
func (c Cluster) addRunning() {
	for repository, entries := range c.Entries {
		roots, because := runningIn(c.Running, repository), ""
		if use, all := c.Running.All(repository); all {
			because = use.String()
		} else if len(roots) > maxRoots {
			because = fmt.Sprintf("workloads name more than %d digests of its repository", maxRoots)
		}
		if because == "" {
			c.Recorded[repository] = append(c.Recorded[repository], roots...)
			continue
		}
		for i := range entries {
			if e := &entries[i]; e.MayGo() {
				e.Keep, e.because = InUse, because
			}
		}
	}
}

// keepWhole keeps each entry that contains a digest that a workload runs. Otherwise only that digest
// would stay: its tag could be neither pulled nor restored, and no tombstone would list what remains.
func keepWhole(entries []Entry, recorded []graph.Root, g *graph.Graph) {
	because := map[digest.Digest]string{}
	for _, root := range recorded {
		if root.Reason == InUse {
			because[root.Digest] = root.Because
		}
	}
	if len(because) == 0 {
		return
	}
	for i := range entries {
		e := &entries[i]
		if !e.MayGo() {
			continue
		}
		for _, part := range g.Parts(e.Valid...) {
			if by, used := because[part]; used {
				e.Keep, e.because = InUse, by
			}
		}
	}
}

// listedInUse returns roots for the digests that the registry lists without a tag and that workloads use, or whose parts
// they use. Most have no entry, so that addRunning adds no root for them, and nothing in use may get a tombstone.
func (c Cluster) listedInUse(repository string, r reading.Repository) []graph.Root {
	if r.Err != nil || len(r.Listed) == 0 {
		return nil
	}
	named := c.Running.Digests("") // those of charts that may be in any repository
	maps.Copy(named, c.Running.Digests(repository))
	coarse := c.Running.Of(repository, "") // without a tag or digest, these are the uses of the whole repository
	if len(named)+len(coarse) == 0 {
		return nil
	}
	use := func(d digest.Digest) string {
		if len(coarse) > 0 {
			return coarse[0].String()
		}
		for _, part := range r.Graph.Parts(d) {
			if u, used := named[part.String()]; used {
				return u.String()
			}
		}
		return ""
	}
	var roots []graph.Root
	for _, d := range r.Listed {
		if by := use(d); by != "" && !r.Missing[d] {
			roots = append(roots, graph.Root{Digest: d, Reason: InUse, Because: by})
		}
	}
	return roots
}

// runningIn returns the roots that workloads give a repository.
func runningIn(r reading.Running, repository string) []graph.Root {
	named := r.Digests(repository)
	roots := make([]graph.Root, 0, len(named))
	for _, d := range slices.Sorted(maps.Keys(named)) {
		roots = append(roots, graph.Root{Digest: digest.Digest(d), Reason: InUse, Because: named[d].String()})
	}
	return roots
}
