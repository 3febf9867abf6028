package mark

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"
)

// sum stands for a valid digest where two must not be taken for one: its bytes if it is of sha256.
type sum [sha256.Size]byte

func sumOf(d digest.Digest) sum {
	var s sum
	if d.Algorithm() == digest.SHA256 {
		if _, err := hex.Decode(s[:], []byte(d.Encoded())); err == nil {
			return s
		}
	}
	return sha256.Sum256([]byte(d))
}

// key stands for a valid digest in sets of what is kept. It has half of the bytes, for there are two sets of all
// blobs in a cycle: who finds two digests with one key makes a cycle keep what it could delete.
type key [sha256.Size / 2]byte

func keyOf(d digest.Digest) key {
	s := sumOf(d)
	return key(s[:len(key{})])
}

// digests is a list of valid digests that needs 32 bytes for each of sha256.
type digests struct {
	short []sum
	long  []digest.Digest
}

func (l *digests) add(d digest.Digest) {
	if d.Algorithm() == digest.SHA256 {
		l.short = append(l.short, sumOf(d))
	} else {
		l.long = append(l.long, d)
	}
}

func (l *digests) len() int { return len(l.short) + len(l.long) }

func (l *digests) all() iter.Seq[digest.Digest] {
	return func(yield func(digest.Digest) bool) {
		for _, s := range l.short {
			if !yield(digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(s[:]))) {
				return
			}
		}
		for _, d := range l.long {
			if !yield(d) {
				return
			}
		}
	}
}

// set is a set of digests that is safe for concurrent use.
type set struct {
	mu   sync.Mutex
	keys map[key]struct{}
}

func (s *set) add(d digest.Digest) {
	k := keyOf(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[key]struct{}{}
	}
	s.keys[k] = struct{}{}
}

func (s *set) has(d digest.Digest) bool {
	k := keyOf(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.keys[k]
	return ok
}
