package mirror

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// candidate is what may be deleted: an Artifact, or a tag or digest that no Artifact references.
type candidate struct {
	mirroredImage
	path string
	// tag is the tag of a candidate without an Artifact, or "" for a digest. since is when a purge first saw it so.
	tag   string
	since time.Time
	plan.Verdict
}

func (i *candidate) orphan() bool { return i.mirroredImage.Artifact == nil }

// loose reports whether the candidate is a digest that no tag and no Artifact references.
func (i *candidate) loose() bool { return i.orphan() && i.tag == "" }

// name returns the tag or digest of a candidate without an Artifact.
func (i *candidate) name() string { return cmp.Or(i.tag, i.Digest.String()) }

// id returns a key that differs for each candidate.
func (i *candidate) id() string {
	if i.orphan() {
		return i.Repository + ":" + i.name()
	}
	return string(i.UID)
}

// digestOf returns the digest of an Artifact's copy; "" if none is known.
func digestOf(a mirroredImage) digest.Digest {
	return digest.Digest(cmp.Or(a.image.Digest, a.Status.Digest))
}

// byRepository groups the candidates that may be deleted by repository.
func byRepository(items []*candidate) map[string][]*candidate {
	all := map[string][]*candidate{}
	for _, i := range items {
		if i.Delete {
			all[i.Repository] = append(all[i.Repository], i)
		}
	}
	return all
}

func ids(items []*candidate) map[string]bool {
	all := map[string]bool{}
	for _, i := range items {
		all[i.id()] = true
	}
	return all
}

// removable returns the digests of a repository that only the given items lead to, and the
// tags that are removed with them. Whatever other Artifacts, uses and tags lead to is
// kept. While it is unknown what they lead to, no digest is deleted. It is pure.
func (m *mirrored) removable(r reading.Repository, path string, items []*candidate) (digests []digest.Digest, tags []string) {
	own, leaves := m.leaving(r, path, items)
	if m.hidden(r, path, ids(items)) {
		return nil, slices.Sorted(maps.Keys(leaves))
	}
	stay := r.Graph.Reach(m.staying(r, path, items, leaves))
	for _, d := range r.Graph.Parts(own...) {
		if _, keeps := stay[d]; keeps || r.Missing[d] {
			continue
		}
		digests = append(digests, d)
		for _, tag := range r.Graph.TagsThatFollow(d) {
			leaves[tag] = true
		}
	}
	return digests, slices.Sorted(maps.Keys(leaves))
}

// hidden reports whether something does not resolve to which an Artifact or use refers by tag, or which an Artifact not
// in out has had in the mirror. It is then unknown what that leads to. One example is an index that lacks a platform.
func (m *mirrored) hidden(r reading.Repository, path string, out map[string]bool) bool {
	return slices.ContainsFunc(r.Dangling, func(tag string) bool { return m.tagged(path, tag, out) }) ||
		slices.ContainsFunc(m.named[path], func(n int) bool {
			a := m.artifacts[n]
			return !out[string(a.UID)] && r.Missing[digest.Digest(a.Status.Digest)]
		})
}

// leaving returns the digests that items reference, and those of their tags that no other Artifact or use references.
func (m *mirrored) leaving(r reading.Repository, path string, items []*candidate) (own []digest.Digest, leaves map[string]bool) {
	leaves = map[string]bool{}
	out := ids(items)
	for _, i := range items {
		tag := i.tag
		switch {
		case i.loose():
			own = append(own, i.Digest)
		case !i.orphan():
			var digests []string
			_, tag, digests = i.image.Named(i.Status.Digest)
			for _, d := range digests {
				own = append(own, digest.Digest(d))
			}
		}
		if at := r.Graph.Target(tag); at != "" && !m.tagged(path, tag, out) {
			leaves[tag] = true
			own = append(own, at)
		}
	}
	return slices.DeleteFunc(own, func(d digest.Digest) bool { return d.Validate() != nil }), leaves
}

// staying returns the roots at a place: what others than the items reference, and all tags that stay.
func (m *mirrored) staying(r reading.Repository, path string, items []*candidate, leaves map[string]bool) []graph.Root {
	var named []string
	out := ids(items)
	for _, n := range m.named[path] {
		if a := m.artifacts[n]; !out[string(a.UID)] {
			named = append(named, a.image.Digest, a.Status.Digest)
		}
	}
	for _, u := range m.used[path] {
		named = append(named, u.Digest)
	}
	for _, tag := range r.Graph.Tags() {
		if !leaves[tag] {
			named = append(named, r.Graph.Target(tag).String())
		}
	}
	var kept []graph.Root
	for _, d := range named {
		if d != "" {
			kept = append(kept, graph.Root{Digest: digest.Digest(d)})
		}
	}
	return kept
}
