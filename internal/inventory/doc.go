// Package inventory says where the artifacts of a store's manifests are in its registry.
//
// Contract: [Entries] are what a manifest lists with what was recorded of each, [Catalogue] where the images of other
// manifests are. It is pure: it reads objects that it is given, neither a cluster nor a registry.
//
// Invariants held here:
//
//   - I1: what left a manifest and is not released yet is an entry of it still.
//   - I4: what was sealed is an entry at its digest also when the status was lost.
package inventory
