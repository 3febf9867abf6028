// Package share gives each of many keys, such as tenants or addresses, a value of its own while the key is in use.
//
// Contract: all users of a key at the same time have the same value. A key is forgotten when its last user is done, so
// that keys which anyone can make up take no memory.
package share

import "sync"

// Shares has the values of the keys in use. It is safe for concurrent use.
type Shares[K comparable, V any] struct {
	of func() V

	mu  sync.Mutex
	all map[K]*share[V]
}

type share[V any] struct {
	own   V
	users int
}

// New returns Shares without keys. of makes the value of a key.
func New[K comparable, V any](of func() V) *Shares[K, V] {
	return &Shares[K, V]{of: of, all: map[K]*share[V]{}}
}

// Take returns the value of a key. The caller must call done exactly once, when it no longer uses the value.
func (s *Shares[K, V]) Take(key K) (own V, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[key]
	if !ok {
		one = &share[V]{own: s.of()}
		s.all[key] = one
	}
	one.users++
	return one.own, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(s.all, key)
		}
	}
}

// Len returns the number of keys in use.
func (s *Shares[K, V]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}
