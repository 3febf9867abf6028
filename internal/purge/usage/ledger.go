package usage

import (
	"fmt"
	"math"

	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Ledger counts the bytes that image manifests hold: their own, and those of their blobs.
// It counts each blob once over all repositories, because registries store it once.
type Ledger struct {
	manifests map[reading.Key]reading.Stored
	held      map[reading.ContentID]weight
}

// weight is the number of uses of a content, and its size in bytes.
type weight struct {
	uses int
	size int64
}

// NewLedger returns a Ledger that counts nothing yet.
func NewLedger() *Ledger {
	return &Ledger{manifests: map[reading.Key]reading.Stored{}, held: map[reading.ContentID]weight{}}
}

// Add counts an image manifest, once.
func (l *Ledger) Add(repository string, s reading.Stored) {
	at := reading.Key{Repository: repository, Digest: s.Node.Digest}
	if _, counted := l.manifests[at]; counted {
		return
	}
	l.manifests[at] = s
	l.count(s)
}

// addAll counts the image manifests of a repository. Nothing is deleted from a repository that is not planned, so the ledger
// keeps only its bytes and not its manifests. Errors wrap registry.ErrUnreadable if the ledger exceeds reading.MaxParts.
func (l *Ledger) addAll(repository string, found []reading.Stored, planned bool) error {
	for _, s := range found {
		if planned {
			l.Add(repository, s)
		} else {
			l.count(s)
		}
	}
	if len(l.held) > reading.MaxParts {
		return fmt.Errorf("%w: the image manifests of this store refer to more than %d digests together", registry.ErrUnreadable, reading.MaxParts)
	}
	return nil
}

// count counts an image manifest that is never removed again. The caller passes each manifest once.
func (l *Ledger) count(s reading.Stored) {
	l.hold(reading.ContentOf(s.Node.Digest), s.Size)
	for _, b := range s.Blobs {
		l.hold(b.Content, b.Size)
	}
}

// hold counts one use of a content. The largest size that manifests claim counts.
func (l *Ledger) hold(d reading.ContentID, size int64) {
	h := l.held[d]
	l.held[d] = weight{h.uses + 1, max(h.size, size, 0)}
}

// Removal computes what removing image manifests would free. It does not change the ledger and does
// not copy it: the copy of a large store's ledger would take more memory than everything else.
type Removal struct {
	from *Ledger
	out  map[reading.Key]bool
	gone map[reading.ContentID]int // how many uses of each content were removed
}

// Begin returns a Removal that has removed nothing yet.
func (l *Ledger) Begin() *Removal {
	return &Removal{from: l, out: map[reading.Key]bool{}, gone: map[reading.ContentID]int{}}
}

// Remove removes image manifests and returns how many bytes nothing holds any more.
func (r *Removal) Remove(ats ...reading.Key) (freed int64) {
	for _, at := range ats {
		freed = sum(freed, r.removeOne(at))
	}
	return freed
}

func (r *Removal) removeOne(at reading.Key) (freed int64) {
	s, counted := r.from.manifests[at]
	if !counted || r.out[at] {
		return 0
	}
	r.out[at] = true
	freed = r.letGo(reading.ContentOf(s.Node.Digest))
	for _, b := range s.Blobs {
		freed = sum(freed, r.letGo(b.Content))
	}
	return freed
}

func (r *Removal) letGo(d reading.ContentID) int64 {
	r.gone[d]++
	if h := r.from.held[d]; r.gone[d] == h.uses {
		return h.size
	}
	return 0
}

// total returns how many bytes are held.
func (l *Ledger) total() (n int64) {
	for _, h := range l.held {
		n = sum(n, h.size)
	}
	return n
}

// without returns how many bytes would be free if digests were deleted.
func (l *Ledger) without(ats []reading.Key) (freed int64) {
	return l.Begin().Remove(ats...)
}

// sum adds without overflow, because a manifest may claim any size.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
