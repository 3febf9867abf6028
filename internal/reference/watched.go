package reference

import "slices"

// Watched are the namespaces that the operator acts in. It writes nothing in other namespaces, and
// protects nothing there. None means all. The operator reads nfo's kinds in all namespaces regardless.
type Watched []string

// Has reports whether the operator acts in a namespace.
func (w Watched) Has(namespace string) bool {
	return len(w) == 0 || slices.Contains(w, namespace)
}
