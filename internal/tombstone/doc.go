// Package tombstone names the records by which what was released can be restored.
//
// Contract: the name of a tombstone follows from the manifest, the cause and, of a pushed-over digest, the digest, so
// that a release that is run again finds what it wrote (I4).
package tombstone
