// Package usage measures how full a store is.
//
// Contract: a [Meter] makes a [Measurement]: by a [Ledger], which counts each blob once, or of what the file system or the
// cluster's own registry says. It counts from the digests that it is given, and reads what they lead to.
//
// Invariants held here:
//
//   - I2: one image manifest that cannot be read hides how full the store is, and then the measurement has an error.
//   - What is counted takes bounded memory, and the largest size that is claimed of a blob counts.
//
// Decision: usage is a sum over what the store's manifests and tombstones reach, or what the file
// system says, which the cluster's own registry is asked for. Rejected: sizes that a registry reports of its
// content, which count shared layers often or not at all.
//
// Decision: where usage is compared with nothing, only repositories with tombstones are read, and what a purge reclaims is
// an upper bound. Rejected: to read the whole store every night for numbers that nobody asked for; and to take what
// manifests say of themselves, which is not what their blobs weigh.
//
// Decision: what was deleted counts as free until the registry has done the collection that the purge asked for, which
// is known by its number. Rejected: to compare times, which the clocks of two hosts tell differently.
package usage
