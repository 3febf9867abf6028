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
	// Subject is what it refers to (OCI image-spec, "subject"); "" for none.
	Subject digest.Digest
}

// Reason says by which kind of edge, or as which kind of root, a digest is kept.
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
	// Reason is the caller's word for it; Because is what it is kept by, for people.
	Reason  Reason
	Because string
}

// Why says how a digest is reached.
type Why struct {
	// Root is the root that reaches it.
	Root Root
	// Reason is the root's own for a root, and the last edge's for anything else.
	Reason Reason
	// From is the digest that the last edge starts at; "" for a root.
	From digest.Digest
}

// Graph is what one reading of a repository showed. Tags, digests and edges that nobody
// could read are not in it: anyone who deletes by it must keep everything when a part is missing.
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

// isSatellite reports whether a tag is a satellite's by its form.
func isSatellite(tag string) bool {
	return strings.HasPrefix(tag, satellitePrefix) && satelliteTag.MatchString(tag)
}

// SatelliteOf returns the subject that a satellite tag names by its form: the referrers tag
// schema of the OCI distribution-spec (sha256-<hex>) or cosign's .sig, .att and .sbom.
func SatelliteOf(tag string) (subject digest.Digest, ok bool) {
	if !strings.HasPrefix(tag, satellitePrefix) { // most are not, which shows at once
		return "", false
	}
	m := satelliteTag.FindStringSubmatch(tag)
	if m == nil {
		return "", false
	}
	return digest.NewDigestFromEncoded(digest.Algorithm(m[1]), m[2]), true
}

// UndoTag is the tag of ours that keeps a released digest in registries that collect what has
// none. It is not a root: it keeps nothing from a purge.
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

// TagsThatFollow returns the tags at a digest that keep nothing and go with it, sorted: satellite tags
// and the undo tag.
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

// Build makes the graph of one repository from its tags and whatever image manifests and
// indexes were read. The order of nodes does not matter.
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

// satellite joins a subject and its satellite: each keeps the other once it is reached.
func (g *Graph) satellite(subject, satellite digest.Digest) {
	g.edges[subject] = append(g.edges[subject], edge{satellite, Referrer})
	g.edges[satellite] = append(g.edges[satellite], edge{subject, Subject})
}

// Tags returns the ordinary tags, those that are no satellite's, sorted.
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

// HasTags reports whether there is an ordinary tag.
func (g *Graph) HasTags() bool {
	for t := range g.tags {
		if !isSatellite(t) {
			return true
		}
	}
	return false
}

// NumTags returns how many tags there are, satellites' tags included.
func (g *Graph) NumTags() int { return len(g.tags) }

// Targets returns what all tags point at, satellites' tags included, sorted, each once.
func (g *Graph) Targets() []digest.Digest {
	targets := slices.AppendSeq(make([]digest.Digest, 0, len(g.tags)), maps.Values(g.tags))
	slices.Sort(targets)
	return slices.Compact(targets)
}

// Target returns what a tag points at; "" for a tag that is not there.
func (g *Graph) Target(tag string) digest.Digest { return g.tags[tag] }

// Reach returns every digest that the roots keep, roots included, each with one Why: the
// shortest way to it, ties broken by digest. Cycles are harmless.
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

// Walk visits what goes with each of ds when nothing else keeps it: the digest itself, then its
// children and satellites, all the way down. Each digest is visited once, under the first of ds
// that leads to it; source is the index of that one, and from and by are the edge that led there,
// "" for the source itself.
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

// Parts returns what Walk visits, in its order.
func (g *Graph) Parts(ds ...digest.Digest) []digest.Digest {
	var parts []digest.Digest
	g.Walk(ds, func(_ int, d, _ digest.Digest, _ Reason) { parts = append(parts, d) })
	return parts
}
