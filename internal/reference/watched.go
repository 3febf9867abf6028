package reference

import "slices"

// Watched are the namespaces that the operator acts in: it writes nothing elsewhere, and holds nothing there. None
// means all. It reads the product's kinds in all namespaces whatever this is.
type Watched []string

// Has reports whether the operator acts in a namespace.
func (w Watched) Has(namespace string) bool {
	return len(w) == 0 || slices.Contains(w, namespace)
}
