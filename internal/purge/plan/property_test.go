package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// sample is a random repository with random tombstones.
type sample struct {
	tags       map[string]digest.Digest
	nodes      []graph.Node
	objects    []client.Object
	tombstones []*v1alpha1.Tombstone
}

func random(r *rand.Rand) sample {
	n := 2 + r.IntN(25)
	pick := func() string { return fmt.Sprint(r.IntN(n)) }
	s := sample{tags: map[string]digest.Digest{}, objects: []client.Object{aStore(func(st *v1alpha1.ArtifactStore) { st.Spec.Purge.MaxDeletions = int32(r.IntN(3) * r.IntN(6)) })}}
	for i := range n {
		node := graph.Node{Digest: d(fmt.Sprint(i))}
		for range r.IntN(3) {
			node.Children = append(node.Children, d(pick()))
		}
		if r.IntN(5) == 0 {
			node.Subject = d(pick())
		}
		s.nodes = append(s.nodes, node)
	}
	for i := range r.IntN(4) {
		s.tags[fmt.Sprint("v", i)] = d(pick())
	}
	for range r.IntN(3) {
		s.tags["sha256-"+d(pick()).Encoded()+".sig"] = d(pick())
	}
	states := []v1alpha1.TombstoneState{
		v1alpha1.TombstonePending, v1alpha1.TombstoneUntagged, v1alpha1.TombstoneUntagged, v1alpha1.TombstoneUntagged, v1alpha1.TombstoneKept,
		v1alpha1.TombstoneSweeping, v1alpha1.TombstoneRestoring, v1alpha1.TombstoneRestored, v1alpha1.TombstonePurged,
	}
	for i := range r.IntN(6) {
		var entries []func(*v1alpha1.Tombstone)
		for j := range 1 + r.IntN(3) {
			entries = append(entries, in(repo, states[r.IntN(len(states))], 20+r.IntN(12), fmt.Sprint("v", j), pick(), pick()))
		}
		if r.IntN(3) == 0 {
			entries = append(entries, tagStays())
		}
		s.tombstones = append(s.tombstones, aTombstone(fmt.Sprint("t", i), entries...))
		s.objects = append(s.objects, s.tombstones[i])
	}
	if r.IntN(4) == 0 {
		s.objects = append(s.objects, aManifest(lists("v1"), records("v2", pick())))
	}
	return s
}

func (s sample) plan(t *testing.T) []Verdict {
	t.Helper()
	return Decide(clusterOf(t, s.objects...), map[string]reading.Repository{repo: {Graph: graph.Build(s.tags, s.nodes)}})
}

// roots determines which digests are roots, independently of the code under test.
// It leaves out a tag of an entry wherever the tag may be deleted with its digest.
func (s sample) roots() []graph.Root {
	var roots []graph.Root
	keep := func(x digest.Digest) { roots = append(roots, graph.Root{Digest: x}) }
	ours := map[string]bool{}
	held := map[string]bool{}
	for _, o := range s.objects {
		if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
			for _, a := range m.Status.Artifacts {
				keep(digest.Digest(a.Digest))
				held[a.ArtifactVersion] = true
			}
			for _, a := range m.Spec.Artifacts {
				held[a.ArtifactVersion] = true
			}
		}
	}
	for _, t := range s.tombstones {
		for _, a := range t.Spec.Artifacts {
			e := t.Entry(a.Repository, a.Tag)
			switch e.State {
			case v1alpha1.TombstoneRestored, v1alpha1.TombstonePurged:
				continue
			}
			over := now.Sub(e.UntaggedAt.Time).Hours() >= 24
			busy := e.State == v1alpha1.TombstonePending || e.State == v1alpha1.TombstoneRestoring
			if !over || busy || held[a.Tag] {
				for _, x := range a.Digests {
					keep(digest.Digest(x))
				}
			} else if e.Reason != "" && slices.Contains(a.Digests, s.tags[a.Tag].String()) {
				ours[a.Tag] = true
			}
		}
	}
	for tag, x := range s.tags {
		if _, satellite := graph.SatelliteOf(tag); !satellite && !ours[tag] {
			keep(x)
		}
	}
	return roots
}

func TestI1NothingReachableIsEverDeleted(t *testing.T) {
	t.Parallel()
	deleted := 0
	for seed := range uint64(4000) {
		s := random(rand.New(rand.NewPCG(seed, 7)))
		reached := graph.Build(s.tags, s.nodes).Reach(s.roots())
		for _, v := range s.plan(t) {
			if _, kept := reached[v.Digest]; kept && v.Delete {
				t.Fatalf("seed %d: %s is reached and deleted", seed, v.Digest)
			} else if !kept && !v.Delete && v.Reason != OverBudget {
				t.Fatalf("seed %d: %s is kept as %s and nothing reaches it", seed, v.Digest, v.Reason)
			}
			if v.Delete {
				deleted++
			}
		}
	}
	if deleted < 1000 {
		t.Errorf("only %d digests were deleted: the samples prove little", deleted)
	}
}

func TestI7OneVerdictForEachCandidateInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 8))
		s := random(r)
		first := s.plan(t)
		verdicts := map[digest.Digest]Verdict{}
		for _, v := range first {
			if _, twice := verdicts[v.Digest]; twice {
				t.Fatalf("seed %d: %s has two verdicts", seed, v.Digest)
			}
			verdicts[v.Digest] = v
		}
		for _, ts := range s.tombstones {
			for _, a := range ts.Spec.Artifacts {
				e := ts.Entry(a.Repository, a.Tag)
				if e.State != v1alpha1.TombstoneUntagged && e.State != v1alpha1.TombstoneKept && e.State != v1alpha1.TombstoneSweeping {
					continue
				}
				for _, x := range a.Digests {
					if _, ok := verdicts[digest.Digest(x)]; !ok {
						t.Fatalf("seed %d: %s has no verdict", seed, x)
					}
				}
			}
		}
		r.Shuffle(len(s.objects), func(i, j int) { s.objects[i], s.objects[j] = s.objects[j], s.objects[i] })
		r.Shuffle(len(s.nodes), func(i, j int) { s.nodes[i], s.nodes[j] = s.nodes[j], s.nodes[i] })
		if diff := cmp.Diff(first, s.plan(t)); diff != "" {
			t.Fatalf("seed %d: the plan depends on order:\n%s", seed, diff)
		}
	}
}

func TestBudgetNeverCutsOffFromAbove(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		s := random(rand.New(rand.NewPCG(seed, 9)))
		g := graph.Build(s.tags, s.nodes)
		vs := map[digest.Digest]Verdict{}
		for _, v := range s.plan(t) {
			vs[v.Digest] = v
		}
		for x := range maps.Keys(vs) {
			for _, part := range g.Parts(x) {
				cycle := slices.Contains(g.Parts(part), x)
				if vs[x].Reason == OverBudget && vs[part].Delete && !cycle {
					t.Fatalf("seed %d: a part goes before what it is a part of", seed)
				}
			}
		}
	}
}
