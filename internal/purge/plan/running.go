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

// runningIn returns the roots that workloads give a repository.
func runningIn(r reading.Running, repository string) []graph.Root {
	named := r.Digests(repository)
	roots := make([]graph.Root, 0, len(named))
	for _, d := range slices.Sorted(maps.Keys(named)) {
		roots = append(roots, graph.Root{Digest: digest.Digest(d), Reason: InUse, Because: named[d].String()})
	}
	return roots
}
