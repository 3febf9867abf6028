package usage

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// other is another repository.
const other = "acme/cnf/web"

func weighs(name string, size int64, blobs ...reading.Blob) reading.Stored {
	return reading.Stored{Node: graph.Node{Digest: d(name)}, Size: size, Blobs: blobs}
}

func layer(name string, size int64) reading.Blob {
	return reading.Blob{Content: reading.ContentOf(d(name)), Size: size}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	base := layer("base", 100)
	l.Add(repo, weighs("a", 1, base, layer("a1", 10), layer("a1", 10)))
	l.Add(repo, weighs("a", 1, base, layer("a1", 10), layer("a1", 10))) // seen twice
	l.Add(other, weighs("b", 2, base, layer("b1", 20)))
	l.Add(other, weighs("a", 1, base, layer("a1", 10))) // the same image in another repository
	if got := l.total(); got != 133 {
		t.Errorf("total is %d, want 133: each blob once, over all repositories", got)
	}
	at := func(repository, name string) reading.Key { return reading.Key{Repository: repository, Digest: d(name)} }
	for _, tc := range []struct {
		reason string
		ats    []reading.Key
		want   int64
	}{
		{"the other repository holds all of it", []reading.Key{at(repo, "a")}, 0},
		{"with both its own bytes go, not the shared base", []reading.Key{at(repo, "a"), at(other, "a")}, 11},
		{"with all of them the base goes too", []reading.Key{at(other, "b"), at(repo, "a"), at(other, "a")}, 133},
		{"named twice is gone once", []reading.Key{at(other, "b"), at(other, "b")}, 22},
		{"what was never counted frees nothing", []reading.Key{at(repo, "x")}, 0},
	} {
		if got := l.without(tc.ats); got != tc.want {
			t.Errorf("without %v is %d, want %d: %s", tc.ats, got, tc.want, tc.reason)
		}
	}
	if got := l.total(); got != 133 {
		t.Errorf("asking has changed the total to %d", got)
	}
}

func TestLedgerOfHostileSizes(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	l.Add(repo, weighs("a", 1, layer("x", math.MaxInt64), layer("y", math.MaxInt64), layer("z", -5)))
	if got := l.total(); got != math.MaxInt64 {
		t.Errorf("total is %d, want the largest number there is", got)
	}
	if got := l.without([]reading.Key{{Repository: repo, Digest: d("a")}}); got != math.MaxInt64 {
		t.Errorf("without it %d are free", got)
	}
	l = NewLedger()
	l.Add(repo, weighs("a", 1, layer("x", 7)))
	l.Add(repo, weighs("b", 1, layer("x", 9)))
	if got := l.total(); got != 11 {
		t.Errorf("total is %d, want 11: of two claims the larger one counts, in any order", got)
	}
}

// In whatever order digests are deleted, what they free adds up to what they held alone.
func TestLedgerAddsUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		l := NewLedger()
		var ats []reading.Key
		for i := range 1 + r.IntN(10) {
			s := weighs(fmt.Sprint("m", i), int64(r.IntN(5)))
			for range r.IntN(4) {
				b := r.IntN(6)
				s.Blobs = append(s.Blobs, layer(fmt.Sprint("b", b), int64(b*10)))
			}
			l.Add(repo, s)
			ats = append(ats, reading.Key{Repository: repo, Digest: s.Node.Digest})
		}
		r.Shuffle(len(ats), func(i, j int) { ats[i], ats[j] = ats[j], ats[i] })
		n := r.IntN(len(ats) + 1)
		left := NewLedger()
		for at, s := range l.manifests {
			if !slices.Contains(ats[:n], at) {
				left.Add(at.Repository, s)
			}
		}
		before, freed := l.total(), l.without(slices.Concat(ats[:n], ats[:n])) // twice frees nothing more
		if before-freed != left.total() || before != l.total() {
			t.Fatalf("seed %d: %d less %d is not %d", seed, before, freed, left.total())
		}
	}
}

// layered is a registry in which each image manifest has its own layers.
type layered struct {
	reading.Registry
	layers int
}

func (l layered) Manifest(_ context.Context, _ string, x digest.Digest) (registry.Manifest, error) {
	var m registry.Manifest
	for j := range l.layers {
		m.Blobs = append(m.Blobs, ocispec.Descriptor{MediaType: strings.Clone(ocispec.MediaTypeImageLayerGzip), Digest: d(fmt.Sprint(x, "/", j)), Size: 1})
	}
	return m, nil
}

// A purge must fit in its pod with all image manifests of a store in memory: 60,000 manifests with 10
// layers each take 120 MiB. The test is not parallel, because allocations of other tests would count.
func TestManifestsInMemoryAreSmall(t *testing.T) {
	const manifests, layers, most = 5_000, 10, 2500
	r := reading.NewReader(layered{layers: layers}, clock.RealClock{}, 1)
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before := heap()
	l := NewLedger()
	for i := range manifests {
		found, _, err := r.Walk(t.Context(), repo, ds(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.addAll(repo, found, true); err != nil {
			t.Fatal(err)
		}
	}
	each := (heap() - before) / manifests
	t.Logf("%d bytes for each image manifest", each)
	if each > most {
		t.Errorf("an image manifest of %d layers takes %d bytes with its part of the ledger, want at most %d", layers, each, most)
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(l)
}
