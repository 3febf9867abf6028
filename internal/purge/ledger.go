package purge

import (
	"maps"
	"math"

	"github.com/opencontainers/go-digest"
)

// ledger counts the bytes that image manifests hold: their own and those of their blobs, each blob
// once however many hold it, in whatever repository: registries store it once.
type ledger struct {
	manifests map[target]stored
	uses      map[digest.Digest]int
	size      map[digest.Digest]int64
}

func newLedger() *ledger {
	return &ledger{manifests: map[target]stored{}, uses: map[digest.Digest]int{}, size: map[digest.Digest]int64{}}
}

// add counts an image manifest, once.
func (l *ledger) add(repository string, s stored) {
	at := target{repository, s.node.Digest}
	if _, counted := l.manifests[at]; counted {
		return
	}
	l.manifests[at] = s
	l.hold(s.node.Digest, s.size)
	for _, b := range s.blobs {
		l.hold(b.Digest, b.Size)
	}
}

// hold counts one use of a blob. Of what manifests claim of its size the largest counts.
func (l *ledger) hold(d digest.Digest, size int64) {
	l.uses[d]++
	l.size[d] = max(l.size[d], size, 0)
}

// remove takes an image manifest out and returns how many bytes nothing holds any more.
func (l *ledger) remove(at target) (freed int64) {
	s, counted := l.manifests[at]
	if !counted {
		return 0
	}
	delete(l.manifests, at)
	freed = l.letGo(s.node.Digest)
	for _, b := range s.blobs {
		freed = sum(freed, l.letGo(b.Digest))
	}
	return freed
}

func (l *ledger) letGo(d digest.Digest) int64 {
	if l.uses[d]--; l.uses[d] > 0 {
		return 0
	}
	delete(l.uses, d)
	return l.size[d]
}

// total is how many bytes are held.
func (l *ledger) total() (n int64) {
	for d := range l.uses {
		n = sum(n, l.size[d])
	}
	return n
}

// without is how many bytes would be free if digests went.
func (l *ledger) without(ats []target) (freed int64) {
	rest := l.clone()
	for _, at := range ats {
		freed = sum(freed, rest.remove(at))
	}
	return freed
}

func (l *ledger) clone() *ledger {
	return &ledger{manifests: maps.Clone(l.manifests), uses: maps.Clone(l.uses), size: l.size}
}

// sum does not overflow: a manifest may claim any size.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
