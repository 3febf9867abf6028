// Package reading reads, within bounds, what a purge decides by.
//
// Contract: a [Reader] reads a repository whole, as a [Repository]: all tags, and every image manifest that these and other
// digests lead to. [ReadObjects] reads what the API server stores that concerns one store, as [Objects]. Nothing here
// decides anything.
//
// Invariants held here:
//
//   - I1: manifests are read before tombstones, and both before tags, so that what passes from one to the other is seen.
//   - I2: a repository that cannot be read whole, or that is past a bound, has an error, and nothing else of it counts. A tag
//     that is listed and does not resolve is dangling (absence.go of package registry/wire says which answers count).
//   - I2: that a digest is missing is not remembered: it may have been pushed since.
//   - I2: lists of the API server that contradict what a manifest's status says are an error.
//   - I8: what reads is given a reader of the registry and of the API server, no writer.
package reading
