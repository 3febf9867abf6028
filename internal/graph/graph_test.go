package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func d(s string) digest.Digest { return digest.FromString(s) }

func tagged(name string) Root { return Root{Digest: d(name), Reason: "Tagged", Because: name} }

func TestReach(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		tags   map[string]digest.Digest
		nodes  []Node
		roots  []Root
		want   map[string]Reason
	}{
		"Nothing": {
			reason: "without roots nothing is kept",
			nodes:  []Node{{Digest: d("a")}},
			want:   map[string]Reason{},
		},
		"I1NestedIndex": {
			reason: "an index in an index keeps its children, the attestation child too",
			nodes: []Node{
				{Digest: d("top"), Children: []digest.Digest{d("inner")}},
				{Digest: d("inner"), Children: []digest.Digest{d("amd64"), d("attestation")}},
				{Digest: d("amd64")}, {Digest: d("attestation")}, {Digest: d("other")},
			},
			roots: []Root{tagged("top")},
			want:  map[string]Reason{"top": "Tagged", "inner": IndexChild, "amd64": IndexChild, "attestation": IndexChild},
		},
		"I1ReferrerOfChild": {
			reason: "a signature of a child lives as long as the child",
			nodes: []Node{
				{Digest: d("top"), Children: []digest.Digest{d("amd64")}},
				{Digest: d("amd64")}, {Digest: d("signature"), Subject: d("amd64")},
			},
			roots: []Root{tagged("top")},
			want:  map[string]Reason{"top": "Tagged", "amd64": IndexChild, "signature": Referrer},
		},
		"I1SatelliteTag": {
			reason: "a satellite by tag follows its subject",
			tags:   map[string]digest.Digest{"sha256-" + d("image").Encoded() + ".sig": d("signature")},
			nodes:  []Node{{Digest: d("image")}, {Digest: d("signature")}},
			roots:  []Root{tagged("image")},
			want:   map[string]Reason{"image": "Tagged", "signature": Referrer},
		},
		"I1SatelliteWithOrdinaryTagKeepsSubject": {
			reason: "a satellite that is a root keeps what it is about",
			nodes:  []Node{{Digest: d("image"), Children: []digest.Digest{d("child")}}, {Digest: d("sbom"), Subject: d("image")}},
			roots:  []Root{tagged("sbom")},
			want:   map[string]Reason{"sbom": "Tagged", "image": Subject, "child": IndexChild},
		},
		"Cycle": {
			reason: "hostile indexes that list each other end",
			nodes: []Node{
				{Digest: d("a"), Children: []digest.Digest{d("b")}, Subject: d("a")},
				{Digest: d("b"), Children: []digest.Digest{d("a"), d("b")}},
			},
			roots: []Root{tagged("a")},
			want:  map[string]Reason{"a": "Tagged", "b": IndexChild},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[digest.Digest]Reason{}
			for k, w := range Build(tc.tags, tc.nodes).Reach(tc.roots) {
				got[k] = w.Reason
			}
			want := map[digest.Digest]Reason{}
			for k, r := range tc.want {
				want[d(k)] = r
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\nReach: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSatelliteOf(t *testing.T) {
	t.Parallel()
	hex := d("x").Encoded()
	tests := map[string]struct {
		reason string
		tag    string
		want   bool
	}{
		"Schema":    {"the referrers tag schema", "sha256-" + hex, true},
		"Signature": {"cosign's signature", "sha256-" + hex + ".sig", true},
		"SBOM":      {"cosign's SBOM", "sha256-" + hex + ".sbom", true},
		"Short":     {"not a whole digest", "sha256-" + hex[:63], false},
		"Suffix":    {"an ordinary tag that begins alike", "sha256-" + hex + ".signed", false},
		"Version":   {"an ordinary tag", "1.0.0", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := SatelliteOf(tc.tag)
			if ok != tc.want || (ok && got != d("x")) {
				t.Errorf("%s: SatelliteOf(%q) = %q, %t", tc.reason, tc.tag, got, ok)
			}
		})
	}
}

// A random repository: nested indexes, shared children, referrer chains, cycles, missing parts.
func random(r *rand.Rand) ([]Node, map[string]digest.Digest) {
	n := 1 + r.IntN(40)
	pick := func() digest.Digest { return d(fmt.Sprint(r.IntN(n + 3))) }
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i].Digest = d(fmt.Sprint(i))
		for range r.IntN(4) {
			nodes[i].Children = append(nodes[i].Children, pick())
		}
		if r.IntN(3) == 0 {
			nodes[i].Subject = pick()
		}
	}
	tags := map[string]digest.Digest{}
	for i := range r.IntN(8) {
		tags[fmt.Sprintf("v%d", i)] = pick()
	}
	for range r.IntN(4) {
		tags["sha256-"+pick().Encoded()+".sig"] = pick()
	}
	return nodes, tags
}

func TestI1ReachIsClosedAndOrderFree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		nodes, tags := random(r)
		g := Build(tags, nodes)
		var roots []Root
		for _, tag := range g.Tags() {
			roots = append(roots, Root{Digest: g.Target(tag), Reason: "Tagged", Because: tag})
		}
		reached := g.Reach(roots)
		for _, n := range nodes {
			_, kept := reached[n.Digest]
			for _, c := range n.Children {
				if _, ok := reached[c]; kept && !ok {
					t.Fatalf("seed %d: a child of a kept index is not kept", seed)
				}
			}
			if n.Subject == "" {
				continue
			}
			if _, ok := reached[n.Subject]; ok != kept {
				t.Fatalf("seed %d: a satellite and its subject have different fates", seed)
			}
		}
		slices.Reverse(nodes)
		slices.Reverse(roots)
		if diff := cmp.Diff(reached, Build(tags, nodes).Reach(roots)); diff != "" {
			t.Fatalf("seed %d: the answer depends on order:\n%s", seed, diff)
		}
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	g := Build(nil, []Node{
		{Digest: d("index"), Children: []digest.Digest{d("amd64"), d("arm64")}},
		{Digest: d("amd64")}, {Digest: d("arm64")},
		{Digest: d("signature"), Subject: d("index")},
		{Digest: d("stranger")},
	})
	got := g.Parts(d("index"))
	if got[0] != d("index") {
		t.Errorf("Parts begins with %s, want the digest itself: parents go before children", got[0])
	}
	slices.Sort(got)
	want := []digest.Digest{d("index"), d("amd64"), d("arm64"), d("signature")}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parts: -want +got\n%s", diff)
	}
	if got := g.Parts(d("signature")); len(got) != 1 {
		t.Errorf("Parts of a satellite has its subject: %v", got)
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	ds := func(names ...string) []digest.Digest {
		var out []digest.Digest
		for _, n := range names {
			out = append(out, d(n))
		}
		return out
	}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		nodes, tags := random(r)
		g := Build(tags, nodes)
		var all []digest.Digest
		for _, n := range nodes {
			if r.IntN(3) > 0 {
				all = append(all, n.Digest, n.Digest)
			}
		}
		at := map[digest.Digest]int{}
		for i, layer := range g.Layers(all) {
			for _, x := range layer {
				if _, twice := at[x]; twice {
					t.Fatalf("seed %d: a digest is in two layers", seed)
				}
				at[x] = i
			}
		}
		for _, x := range all {
			if _, ok := at[x]; !ok {
				t.Fatalf("seed %d: a digest is in no layer", seed)
			}
			for _, e := range g.edges[x] {
				part := e.to
				if _, among := at[part]; among && e.reason != Subject && at[part] <= at[x] && !slices.Contains(g.Parts(part), x) {
					t.Fatalf("seed %d: a part is in no later layer than what it is a part of", seed)
				}
			}
		}
		before := g.Layers(all)
		slices.Reverse(all)
		if diff := cmp.Diff(before, g.Layers(all)); diff != "" {
			t.Fatalf("seed %d: the layers depend on order:\n%s", seed, diff)
		}
	}
	nodes := []Node{
		{Digest: d("top"), Children: ds("inner", "shared")}, {Digest: d("inner"), Children: ds("shared", "leaf")},
		{Digest: d("shared")}, {Digest: d("leaf")}, {Digest: d("signature"), Subject: d("leaf")},
	}
	got := Build(nil, nodes).Layers(ds("signature", "leaf", "shared", "inner", "top"))
	want := [][]digest.Digest{ds("top"), ds("inner"), slices.Sorted(slices.Values(ds("leaf", "shared"))), ds("signature")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parents before parts: -want +got\n%s", diff)
	}
}

func TestWalkVisitsEachOnce(t *testing.T) {
	t.Parallel()
	g := Build(nil, []Node{
		{Digest: d("a"), Children: []digest.Digest{d("shared")}}, {Digest: d("b"), Children: []digest.Digest{d("shared"), d("own")}},
	})
	got := map[digest.Digest]int{}
	g.Walk([]digest.Digest{d("b"), d("a"), d("b")}, func(source int, x, _ digest.Digest, _ Reason) {
		if _, twice := got[x]; twice {
			t.Errorf("%s is visited twice", x)
		}
		got[x] = source
	})
	if diff := cmp.Diff(map[digest.Digest]int{d("b"): 0, d("shared"): 0, d("own"): 0, d("a"): 1}, got); diff != "" {
		t.Errorf("source of each: -want +got\n%s", diff)
	}
}

func TestUndoTag(t *testing.T) {
	t.Parallel()
	if got, want := UndoTag(d("x")), "nfo-undo-"+d("x").Encoded()[:12]; got != want {
		t.Errorf("UndoTag = %q, want %q", got, want)
	}
	if got := UndoTag("garbage"); got != "" {
		t.Errorf("UndoTag of no digest = %q, want none", got)
	}
}
