package mark

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"
)

// sum identifies a valid digest without collisions: for SHA-256 it has the bytes of the digest, otherwise a hash of it.
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

// key identifies a valid digest in sets of what is kept. It has only half of the bytes, because a cycle has two sets of
// all blobs. A collision of two digests would only make a cycle keep what it could delete.
type key [sha256.Size / 2]byte

func keyOf(d digest.Digest) key {
	s := sumOf(d)
	return key(s[:len(key{})])
}

// digests is a list of valid digests that takes 32 bytes for each SHA-256 digest.
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
