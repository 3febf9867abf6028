// Package usage measures how full a store is.
//
// Contract: a [Meter] makes a [Measurement]. Depending on the store, usage comes from a
// [Ledger], which counts each blob once, from the file system, or from the cluster's own
// registry. A Meter counts from the digests that it is given, and reads what they lead to.
//
// Invariants held here:
//
//   - I2: if one image manifest cannot be read, usage is unknown and the measurement has an error.
//   - The ledger takes bounded memory. If manifests claim different sizes of a blob, the largest counts.
//
// Decision: usage is the sum over what the store's manifests and tombstones reach, or what the file
// system reports, which for the cluster's own registry the registry reports. Rejected: sizes that a
// registry reports of its content, because they count shared layers several times or not at all.
//
// Decision: where usage is not compared with anything, a purge reads only repositories with tombstones, and the number of
// bytes that it reclaims is an upper bound. Rejected: to read the whole store every night, because nobody asked for the
// numbers. Rejected: to take the sizes that manifests state of themselves, because these are not the sizes of their blobs.
//
// Decision: what was deleted counts as free until the registry has done the collection that the purge asked for,
// which the purge recognizes by its number. Rejected: to compare times, because the clocks of two hosts differ.
package usage
