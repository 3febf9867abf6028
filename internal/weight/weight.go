// Package weight tells which of many tenants has most of what is bounded for all of them, so that it pays for the bound.
//
// Contract: a key without weight takes no memory. [Weights] has no lock of its own.
package weight

import "cmp"

// Weights are how much each key has.
type Weights[K cmp.Ordered] struct {
	of  map[K]int
	all int
}

// Add gives a key more, or takes from it where n is negative.
func (w *Weights[K]) Add(key K, n int) {
	if w.of == nil {
		w.of = map[K]int{}
	}
	w.all += n
	if w.of[key] += n; w.of[key] == 0 {
		delete(w.of, key)
	}
}

// Of is how much a key has.
func (w *Weights[K]) Of(key K) int { return w.of[key] }

// All is how much all keys have.
func (w *Weights[K]) All() int { return w.all }

// Heaviest is the key that has most, the first in order of several; the zero value if none has anything.
func (w *Weights[K]) Heaviest() (heaviest K) {
	most := 0
	for key, n := range w.of {
		if n > most || n == most && key < heaviest {
			heaviest, most = key, n
		}
	}
	return heaviest
}
