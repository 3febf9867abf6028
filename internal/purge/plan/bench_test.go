//go:build unix

package plan

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/reference"
)

// maxEntries is the most entries that the API allows in a tombstone.
const maxEntries = 1024

// pile is the content of one repository of a stock.
type pile struct {
	tags  map[string]digest.Digest
	nodes []graph.Node
}

// stock is a store with many image manifests. Half of its artifacts are released and past their
// grace period, half are tagged and listed by an existing manifest. Of five artifacts, one is an
// index with two platforms and an attestation, one has a signature by tag, and three are plain: nine
// image manifests and indexes. A manifest may list more artifacts here than the API would allow.
type stock struct {
	piles      map[string]*pile // by repository
	tombstones []v1alpha1.Tombstone
	open       map[string]int // manifest -> the index of its tombstone that still has room
	alive      map[string]*v1alpha1.ArtifactManifest
	size       int // image manifests and indexes
	released   int // of these
}

// newStock fills repositories, ten to a manifest, in turn, until there are size image manifests.
func newStock(size, repositories int) *stock {
	s := &stock{piles: map[string]*pile{}, open: map[string]int{}, alive: map[string]*v1alpha1.ArtifactManifest{}}
	for i := 0; s.size < size; i++ {
		place, round := i%repositories, i/repositories
		s.artifact(fmt.Sprintf("m%03d", place/10), fmt.Sprintf("a%d", place%10), i, place+round)
	}
	return s
}

// artifact adds the i-th artifact. kind decides whether it is released and
// what it consists of. Any ten kinds in a row cover all ten combinations.
func (s *stock) artifact(manifest, name string, i, kind int) {
	repository := "acme/" + manifest + "/" + name
	p := s.piles[repository]
	if p == nil {
		p = &pile{tags: map[string]digest.Digest{}}
		s.piles[repository] = p
	}
	tag := fmt.Sprintf("1.0.%d", i)
	head := graph.Node{Digest: d(tag)}
	before := len(p.nodes)
	switch kind % 5 {
	case 0:
		head.Children = ds(tag+"amd64", tag+"arm64", tag+"attestation")
		for _, child := range head.Children {
			p.nodes = append(p.nodes, graph.Node{Digest: child})
		}
	case 1:
		signature := d(tag + "signature")
		p.nodes = append(p.nodes, graph.Node{Digest: signature})
		p.tags["sha256-"+head.Digest.Encoded()+".sig"] = signature
	}
	p.nodes = append(p.nodes, head)
	s.size += len(p.nodes) - before
	if kind%2 == 0 {
		s.released += len(p.nodes) - before
		s.record(manifest, repository, tag, head.Digest)
		return
	}
	p.tags[tag] = head.Digest
	m := s.alive[manifest]
	if m == nil {
		m = aManifest(func(m *v1alpha1.ArtifactManifest) { m.Name, m.UID = manifest, types.UID(manifest) })
		s.alive[manifest] = m
	}
	m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: name, ArtifactVersion: tag})
	m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
		ArtifactName: name, ArtifactVersion: tag, Repository: repository, Digest: head.Digest.String(), State: v1alpha1.ArtifactPresent,
	})
}

// record adds an entry to the last tombstone of a manifest, or to a new one.
func (s *stock) record(manifest, repository, tag string, x digest.Digest) {
	at, ok := s.open[manifest]
	if !ok || len(s.tombstones[at].Spec.Artifacts) == maxEntries {
		at = len(s.tombstones)
		s.open[manifest] = at
		s.tombstones = append(s.tombstones, *aTombstone(fmt.Sprintf("%s-%08d", manifest, at), func(t *v1alpha1.Tombstone) { t.Spec.Manifest.Name = manifest }))
	}
	t := &s.tombstones[at]
	t.Spec.Artifacts = append(t.Spec.Artifacts, v1alpha1.TombstoneArtifact{Repository: repository, Tag: tag, Digests: []string{x.String()}})
	t.Status.Artifacts = append(t.Status.Artifacts, v1alpha1.TombstoneArtifactStatus{Repository: repository, Tag: tag, State: v1alpha1.TombstoneUntagged, UntaggedAt: ago(25)})
}

// read returns the stock as a purge has read it.
func (s *stock) read(b *testing.B) (Cluster, map[string]reading.Repository) {
	b.Helper()
	holders := reference.Snapshot{}
	for _, m := range s.alive {
		holders[v1alpha1.KindArtifactManifest] = append(holders[v1alpha1.KindArtifactManifest], m)
	}
	c := NewCluster(reading.Objects{Begun: now, Now: now, Key: storeKey, Stores: []v1alpha1.ArtifactStore{*aStore()}, Holders: holders, Tombstones: s.tombstones, Definitions: known})
	if c.Refusal != nil {
		b.Fatalf("the store is refused: %v", c.Refusal)
	}
	readings := map[string]reading.Repository{}
	for repository, p := range s.piles {
		readings[repository] = reading.Repository{Graph: graph.Build(p.tags, p.nodes)}
	}
	return c, readings
}

// measure plans repeatedly and returns the processor time of one plan, including the garbage
// collector's. Beside other work, processor time is more reliable than elapsed time.
func (s *stock) measure(b *testing.B) time.Duration {
	b.Helper()
	c, readings := s.read(b)
	var vs []Verdict
	b.ReportAllocs()
	start := used(b)
	for b.Loop() {
		vs = Decide(c, readings)
	}
	each := (used(b) - start) / time.Duration(b.N)
	deleted := 0
	for _, v := range vs {
		if v.Delete {
			deleted++
		}
	}
	if deleted != s.released {
		b.Fatalf("the plan deletes %d, %d are released", deleted, s.released)
	}
	b.ReportMetric(float64(each)/float64(s.size), "cpu-ns/manifest")
	return each
}

// used returns the processor time that this process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPlan measures the pure plan, from what was read to the verdicts.
func BenchmarkPlan(b *testing.B) {
	for _, repositories := range []int{1, 1000} {
		for _, size := range []int{1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("repositories=%d/manifests=%d", repositories, size), func(b *testing.B) {
				newStock(size, repositories).measure(b)
			})
		}
	}
}

// BenchmarkPlanDoubling prints by which factor the processor time grows when the content doubles (x-half),
// and in the last row the mean factor of all doublings (x-mean). The factor of a linear plan is 2.
func BenchmarkPlanDoubling(b *testing.B) {
	const smallest, doublings = 1_000, 7
	for _, repositories := range []int{1, 1000} {
		var first, before time.Duration
		for i := range doublings + 1 {
			size := smallest << i
			b.Run(fmt.Sprintf("repositories=%d/manifests=%d", repositories, size), func(b *testing.B) {
				took := newStock(size, repositories).measure(b)
				if i == 0 {
					first = took
				} else {
					b.ReportMetric(float64(took)/float64(before), "x-half")
				}
				if i == doublings {
					b.ReportMetric(math.Pow(float64(took)/float64(first), 1.0/doublings), "x-mean")
				}
				before = took
			})
		}
	}
}
