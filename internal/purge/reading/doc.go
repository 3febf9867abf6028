// Package reading reads, within bounds, what a purge decides by.
//
// Contract: a [Reader] reads a whole repository into a [Repository]: all tags, and every
// image manifest that the tags and other given digests lead to. [ReadObjects] reads what the
// API server stores that concerns one store, as [Objects]. Nothing here decides anything.
//
// Invariants held here:
//
//   - I1: manifests are read before tombstones, and both before tags, so that an
//     artifact that moves from one to the other meanwhile is seen at least once.
//   - I2: a repository that cannot be read whole, or that exceeds a bound, has an error,
//     and nothing else of its reading counts. A tag that is listed and does not resolve
//     is dangling (absence.go of package registry/wire says which answers count).
//   - I2: the Reader does not remember that a digest is missing, because the digest may have been pushed since.
//   - I2: lists of the API server that contradict the status of a manifest are an error.
//   - I8: the code here gets interfaces of the registry and the API server that can only read.
package reading
