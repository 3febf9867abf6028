package graph

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// Layers sorts digests so that each is in a later layer than all of them that it is a part of.
// Those of a cycle, which only satellite tags can make, are in one layer. The order within a layer
// is that of the digests.
func (g *Graph) Layers(ds []digest.Digest) [][]digest.Digest {
	sorted := slices.Compact(slices.Sorted(slices.Values(ds)))
	s := search{graph: g, at: make(map[digest.Digest]int, len(sorted)), cycle: make(map[digest.Digest]int, len(sorted))}
	for _, d := range sorted {
		s.cycle[d] = unknown
	}
	for _, d := range sorted {
		s.from(d)
	}
	// The search found cycles parts first.
	depth := make([]int, len(s.cycles))
	var layers [][]digest.Digest
	for i, cycle := range slices.Backward(s.cycles) {
		for len(layers) <= depth[i] {
			layers = append(layers, nil)
		}
		layers[depth[i]] = append(layers[depth[i]], cycle...)
		for _, below := range s.below(i) {
			depth[below] = max(depth[below], depth[i]+1)
		}
	}
	for _, layer := range layers {
		slices.Sort(layer)
	}
	return layers
}

const unknown = -1

// search finds the cycles among some digests, each digest outside of one being its own: Tarjan's
// algorithm, without recursion, since a hostile index can be as deep as a repository is large.
type search struct {
	graph  *Graph
	at     map[digest.Digest]int // when a digest was met, from 1
	low    []int                 // by that: the earliest that it leads back to
	path   []digest.Digest       // met, and in no cycle yet
	steps  []step
	cycle  map[digest.Digest]int // the cycle of each of the digests, or unknown
	cycles [][]digest.Digest
}

// below returns the other cycles that the edges of one lead to.
func (s *search) below(cycle int) []int {
	var below []int
	for _, d := range s.cycles[cycle] {
		for _, e := range s.graph.edges[d] {
			if to, among := s.cycle[e.to]; among && e.reason != Subject && to != cycle {
				below = append(below, to)
			}
		}
	}
	return below
}

// step is a digest on the way down and how many of its edges have been followed.
type step struct {
	digest   digest.Digest
	followed int
}

func (s *search) from(d digest.Digest) {
	if s.at[d] == 0 {
		s.meet(d)
	}
	for len(s.steps) > 0 {
		here := &s.steps[len(s.steps)-1]
		edges := s.graph.edges[here.digest]
		if here.followed < len(edges) {
			here.followed++
			s.follow(here.digest, edges[here.followed-1])
			continue
		}
		s.leave(here.digest)
	}
}

func (s *search) meet(d digest.Digest) {
	if len(s.low) == 0 {
		s.low = append(s.low, 0)
	}
	s.at[d] = len(s.low)
	s.low = append(s.low, s.at[d])
	s.path = append(s.path, d)
	s.steps = append(s.steps, step{digest: d})
}

func (s *search) follow(from digest.Digest, e edge) {
	cycle, among := s.cycle[e.to]
	switch {
	case !among || e.reason == Subject:
	case s.at[e.to] == 0:
		s.meet(e.to)
	case cycle == unknown: // on the path: it leads back
		s.low[s.at[from]] = min(s.low[s.at[from]], s.at[e.to])
	}
}

// leave ends a digest. One that leads back to nothing earlier closes the cycle that it began.
func (s *search) leave(d digest.Digest) {
	s.steps = s.steps[:len(s.steps)-1]
	at := s.at[d]
	if len(s.steps) > 0 {
		above := s.at[s.steps[len(s.steps)-1].digest]
		s.low[above] = min(s.low[above], s.low[at])
	}
	if s.low[at] != at {
		return
	}
	i := len(s.path) - 1
	for s.path[i] != d {
		i--
	}
	members := slices.Clone(s.path[i:])
	s.path = s.path[:i]
	for _, m := range members {
		s.cycle[m] = len(s.cycles)
	}
	s.cycles = append(s.cycles, members)
}
