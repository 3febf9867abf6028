// Package tombstone names the tombstones, the records from which released artifacts can be restored.
//
// Contract: the name of a tombstone follows from the manifest, the cause and, for an overwritten digest, the digest, so that
// a release that is run again finds the tombstone that it wrote (I4).
package tombstone
