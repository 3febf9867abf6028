package graph

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Node is one image manifest or index.
type Node struct {
	// Digest is its own digest.
	Digest digest.Digest
	// Children are the digests that an index lists; none for an image manifest.
	Children []digest.Digest
	// Subject is the digest in the manifest's "subject" field (OCI image-spec); "" for none.
	Subject digest.Digest
}

// Reason is the kind of edge, or the kind of root, by which a digest is kept.
type Reason string

// The reasons that edges give.
const (
	// IndexChild: an index that is kept lists it.
	IndexChild Reason = "IndexChild"
	// Referrer: it is a satellite of a digest that is kept.
	Referrer Reason = "Referrer"
	// Subject: a satellite of it is kept for its own sake.
	Subject Reason = "Subject"
)

// Root is a digest that is kept for its own sake.
type Root struct {
	Digest digest.Digest
	// Reason is the caller's word for the kind of root. Because says in words what keeps the digest.
	Reason  Reason
	Because string
}

// Why says how a digest is reached.
type Why struct {
	// Root is the root that reaches it.
	Root Root
	// Reason is the root's own reason for a root, and the last edge's reason for any other digest.
	Reason Reason
	// From is the digest that the last edge starts at; "" for a root.
	From digest.Digest
}

// Graph is the content of a repository as one reading showed it. It lacks tags, digests and edges that
// could not be read. A caller that deletes by it must keep everything if any part could not be read.
type Graph struct {
	tags  map[string]digest.Digest
	edges map[digest.Digest][]edge
}

type edge struct {
	to     digest.Digest
	reason Reason
}

var satelliteTag = regexp.MustCompile(`^(sha256)-([0-9a-f]{64})(\.sig|\.att|\.sbom)?$`)

const satellitePrefix = "sha256-"

// isSatellite reports whether a tag has the form of a satellite tag.
func isSatellite(tag string) bool {
	return strings.HasPrefix(tag, satellitePrefix) && satelliteTag.MatchString(tag)
}

// SatelliteOf returns the subject that a satellite tag contains: a tag of the referrers tag schema of the OCI
// distribution-spec (sha256-<hex>) or of cosign (.sig, .att and .sbom). It returns false for any other tag.
func SatelliteOf(tag string) (subject digest.Digest, ok bool) {
	if !strings.HasPrefix(tag, satellitePrefix) { // a cheap check first: most tags are not satellite tags
		return "", false
	}
	m := satelliteTag.FindStringSubmatch(tag)
	if m == nil {
		return "", false
	}
	return digest.NewDigestFromEncoded(digest.Algorithm(m[1]), m[2]), true
}

// UndoTag returns the tag that nfo gives a released digest so that a registry that collects untagged digests
// keeps it. The tag is not a root: it protects nothing from a purge. UndoTag returns "" if d is invalid.
func UndoTag(d digest.Digest) string {
	if d.Validate() != nil {
		return ""
	}
	return undoPrefix + d.Encoded()[:12]
}

const undoPrefix = "nfo-undo-"

// IsUndoTag reports whether a tag is the undo tag of a digest.
func IsUndoTag(tag string, d digest.Digest) bool {
	return strings.HasPrefix(tag, undoPrefix) && tag == UndoTag(d)
}

// TagsThatFollow returns the tags at a digest that protect nothing
// and are deleted with it, sorted: satellite tags and the undo tag.
func (g *Graph) TagsThatFollow(d digest.Digest) []string {
	var tags []string
	for tag, at := range g.tags {
		if _, satellite := SatelliteOf(tag); at == d && (satellite || IsUndoTag(tag, d)) {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// Build returns the graph of one repository from its tags and the image
// manifests and indexes that were read. The order of nodes does not matter.
func Build(tags map[string]digest.Digest, nodes []Node) *Graph {
	g := &Graph{tags: maps.Clone(tags), edges: make(map[digest.Digest][]edge, len(nodes))}
	for _, n := range nodes {
		for _, c := range n.Children {
			g.edges[n.Digest] = append(g.edges[n.Digest], edge{c, IndexChild})
		}
		if n.Subject != "" {
			g.satellite(n.Subject, n.Digest)
		}
	}
	for tag, d := range tags {
		if subject, ok := SatelliteOf(tag); ok {
			g.satellite(subject, d)
		}
	}
	for d, es := range g.edges {
		slices.SortFunc(es, func(a, b edge) int {
			return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.reason, b.reason))
		})
		g.edges[d] = slices.Compact(es)
	}
	return g
}

// satellite adds the edges between a subject and its satellite: each keeps the other once it is reached.
func (g *Graph) satellite(subject, satellite digest.Digest) {
	g.edges[subject] = append(g.edges[subject], edge{satellite, Referrer})
	g.edges[satellite] = append(g.edges[satellite], edge{subject, Subject})
}

// Tags returns the ordinary tags, which are all but the satellite tags, sorted.
func (g *Graph) Tags() []string {
	ts := make([]string, 0, len(g.tags))
	for t := range g.tags {
		if !isSatellite(t) {
			ts = append(ts, t)
		}
	}
	slices.Sort(ts)
	return ts
}

// HasTags reports whether the repository has an ordinary tag.
func (g *Graph) HasTags() bool {
	for t := range g.tags {
		if !isSatellite(t) {
			return true
		}
	}
	return false
}

// NumTags returns how many tags the repository has, including satellite tags.
func (g *Graph) NumTags() int { return len(g.tags) }

// Targets returns the digests that the tags point at, including satellite tags, sorted, each once.
func (g *Graph) Targets() []digest.Digest {
	targets := slices.AppendSeq(make([]digest.Digest, 0, len(g.tags)), maps.Values(g.tags))
	slices.Sort(targets)
	return slices.Compact(targets)
}

// Target returns the digest that a tag points at; "" if the tag does not exist.
func (g *Graph) Target(tag string) digest.Digest { return g.tags[tag] }

// Reach returns every digest that the roots keep, including the roots. The Why of a digest is the shortest
// way to it from a root; between equally short ways the order of digests decides. Cycles are harmless.
func (g *Graph) Reach(roots []Root) map[digest.Digest]Why {
	roots = slices.Clone(roots)
	slices.SortFunc(roots, func(a, b Root) int {
		return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Because, b.Because))
	})
	reached := make(map[digest.Digest]Why, len(roots))
	queue := make([]digest.Digest, 0, len(roots))
	visit := func(d digest.Digest, w Why) {
		if _, seen := reached[d]; !seen {
			reached[d] = w
			queue = append(queue, d)
		}
	}
	for _, r := range roots {
		visit(r.Digest, Why{Root: r, Reason: r.Reason})
	}
	for next := 0; next < len(queue); next++ {
		d := queue[next]
		for _, e := range g.edges[d] {
			visit(e.to, Why{Root: reached[d].Root, Reason: e.reason, From: d})
		}
	}
	return reached
}

// Walk visits what is deleted with each of ds when nothing else keeps it: the digest itself, then its children and
// satellites, recursively. Each digest is visited once, under the first of ds that leads to it; source is the index
// of that element of ds. from and by are the edge that led to the digest, and "" for an element of ds itself.
func (g *Graph) Walk(ds []digest.Digest, visit func(source int, d, from digest.Digest, by Reason)) {
	seen := make(map[digest.Digest]bool, len(ds))
	for source, d := range ds {
		if seen[d] {
			continue
		}
		seen[d] = true
		visit(source, d, "", "")
		for queue := []digest.Digest{d}; len(queue) > 0; queue = queue[1:] {
			for _, e := range g.edges[queue[0]] {
				if e.reason != Subject && !seen[e.to] {
					seen[e.to] = true
					visit(source, e.to, queue[0], e.reason)
					queue = append(queue, e.to)
				}
			}
		}
	}
}

// Parts returns the digests that Walk visits, in the same order.
func (g *Graph) Parts(ds ...digest.Digest) []digest.Digest {
	var parts []digest.Digest
	g.Walk(ds, func(_ int, d, _ digest.Digest, _ Reason) { parts = append(parts, d) })
	return parts
}
