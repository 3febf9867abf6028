// Package weight finds which of many tenants uses most of a limited resource, so that this tenant is limited first.
//
// Contract: a key without weight takes no memory. [Weights] is not safe for concurrent use.
package weight

import "cmp"

// Weights has the weight of each key.
type Weights[K cmp.Ordered] struct {
	of  map[K]int
	all int
}

// Add adds n to the weight of a key. n may be negative.
func (w *Weights[K]) Add(key K, n int) {
	if w.of == nil {
		w.of = map[K]int{}
	}
	w.all += n
	if w.of[key] += n; w.of[key] == 0 {
		delete(w.of, key)
	}
}

// Of returns the weight of a key.
func (w *Weights[K]) Of(key K) int { return w.of[key] }

// All returns the weight of all keys.
func (w *Weights[K]) All() int { return w.all }

// Heaviest returns the key with the largest weight. Of several, it
// returns the smallest key; without any weight, the zero value.
func (w *Weights[K]) Heaviest() (heaviest K) {
	most := 0
	for key, n := range w.of {
		if n > most || n == most && key < heaviest {
			heaviest, most = key, n
		}
	}
	return heaviest
}
