// Package removal tests the way out, which concerns the whole cluster: so it has an API server of its
// own, and its tests run one after the other.
package removal
