// Package share gives each of many keys, such as tenants or addresses, something of its own for as long as somebody uses it.
//
// Contract: all who use a key at the same time have the same share of it. A key that nobody uses any more is forgotten, so
// that keys which anybody can make up take no memory.
package share

import "sync"

// Shares has the shares of keys. It is safe for concurrent use.
type Shares[K comparable, V any] struct {
	of func() V

	mu  sync.Mutex
	all map[K]*share[V]
}

type share[V any] struct {
	own   V
	users int
}

// New makes Shares. of makes the share of a key.
func New[K comparable, V any](of func() V) *Shares[K, V] {
	return &Shares[K, V]{of: of, all: map[K]*share[V]{}}
}

// Take returns the share of a key. The caller calls done once, when it uses it no more.
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

// Len is how many keys are used.
func (s *Shares[K, V]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}
