// Package inventory finds out where the artifacts of a store's manifests are in its registry.
//
// Contract: [Entries] returns the artifacts that a manifest lists, with what was recorded of each. [Catalogue] finds images
// in other manifests. The package is pure: it works on the objects that it is given and reads neither a cluster nor a
// registry.
//
// Invariants held here:
//
//   - I1: an artifact that left a manifest's spec remains an entry until it is released.
//   - I4: a sealed artifact is an entry at its sealed digest, even if the status was lost.
package inventory
