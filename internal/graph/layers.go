package graph

import (
	"iter"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Layers sorts digests into layers so that each digest is in a later layer than every digest that it is a part of.
// Digests of a cycle, which only satellite tags can form, are in the same layer. Within a layer, digests are in order.
func (g *Graph) Layers(ds []digest.Digest) [][]digest.Digest {
	sorted := slices.Clone(ds)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	s := search{
		graph: g, at: make(map[digest.Digest]int, len(sorted)), cycle: make(map[digest.Digest]int, len(sorted)),
		low: make([]int, 1, len(sorted)+1), members: make([]digest.Digest, 0, len(sorted)), ends: make([]int, 0, len(sorted)),
	}
	for _, d := range sorted {
		s.cycle[d] = unknown
	}
	for _, d := range sorted {
		s.from(d)
	}
	// The search numbers a cycle after the cycles of its parts. Counting down visits parents before their parts.
	depth := make([]int, len(s.ends))
	var sizes []int
	for i := len(depth) - 1; i >= 0; i-- {
		for len(sizes) <= depth[i] {
			sizes = append(sizes, 0)
		}
		sizes[depth[i]] += len(s.of(i))
		for below := range s.below(i) {
			depth[below] = max(depth[below], depth[i]+1)
		}
	}
	layers := make([][]digest.Digest, len(sizes))
	for i, size := range sizes {
		layers[i] = make([]digest.Digest, 0, size)
	}
	for i, at := range depth {
		layers[at] = append(layers[at], s.of(i)...)
	}
	for _, layer := range layers {
		slices.Sort(layer)
	}
	return layers
}

const unknown = -1

// search finds the cycles among some digests with Tarjan's algorithm. A digest that is in no cycle counts as a
// cycle by itself. The search does not recurse, because a malicious index can be as deep as a repository is large.
type search struct {
	graph *Graph
	at    map[digest.Digest]int // when a digest was visited, from 1
	low   []int                 // by when a digest was visited: the earliest digest that it leads back to
	path  []digest.Digest       // visited, and not assigned to a cycle yet
	steps []step
	cycle map[digest.Digest]int // the cycle of each of the digests, or unknown
	// members are the digests of all cycles, one cycle after the
	// other. ends has the index in members at which each cycle ends.
	members []digest.Digest
	ends    []int
}

// of returns the digests of a cycle.
func (s *search) of(cycle int) []digest.Digest {
	if cycle == 0 {
		return s.members[:s.ends[0]]
	}
	return s.members[s.ends[cycle-1]:s.ends[cycle]]
}

// below returns the other cycles that the edges of a cycle lead to, possibly more than once.
func (s *search) below(cycle int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, d := range s.of(cycle) {
			for _, e := range s.graph.edges[d] {
				if to, among := s.cycle[e.to]; among && e.reason != Subject && to != cycle && !yield(to) {
					return
				}
			}
		}
	}
}

// step is a digest on the path of the search, and how many of its edges have been followed.
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
	case cycle == unknown: // e.to is on the path, so from leads back to it
		s.low[s.at[from]] = min(s.low[s.at[from]], s.at[e.to])
	}
}

// leave finishes a digest. If the digest leads back to no earlier digest, it completes the cycle that began at it.
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
	for _, m := range s.path[i:] {
		s.cycle[m] = len(s.ends)
	}
	s.members = append(s.members, s.path[i:]...)
	s.ends = append(s.ends, len(s.members))
	s.path = s.path[:i]
}
