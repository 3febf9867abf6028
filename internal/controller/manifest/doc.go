// Package manifest reconciles ArtifactManifests.
//
// Contract: [Reconciler] keeps a manifest's status in line with the registry, records overwritten
// digests in tombstones, and hands deleted manifests, and entries that left a manifest, to package
// release.
//
// Invariants held here:
//
//   - I2: any read that fails ends the pass with the finalizer in place and a condition. A list that lacks an
//     object that the cache or the status knows counts as such a failure until that object has been read by name.
//   - I1, I4: a sealed digest stays recorded wherever its tag points (seal.go).
//     putback.go overwrites a tag only if a person ordered it, once per order, after
//     it has read the tag in the same pass and recorded the digest that loses it.
//   - I9: the manifests of an inert store are neither observed nor released. A
//     store that package place refuses is inert even before its status says so.
//   - I10: a blocked object asks for no requeue; package wake wakes it on its holders' events.
//
// Decision: a pass that uses a registry needs a place in its lane (package lane). A poll of many entries
// is a round of turns (polls.go). Rejected: workers for each tenant, because there can be thousands of
// tenants. Rejected: deadlines alone, because a registry that always takes longer would never be read.
//
// Decision: a sealed tag that was overwritten is reported and left alone until a person decides.
// Rejected: restoring it automatically, or on a permanent annotation, because two automata would
// overwrite each other's tag for ever and no person would learn which of them is wrong.
//
// Decision: sealed digests are kept in an annotation, and released ones in a tombstone's
// spec. Rejected: keeping either in a status, which backups leave out and people delete.
//
// Decision: an object that vanishes without its finalizer leaves an event, and a manifest also a tombstone
// (vanished.go). Rejected: releasing it, because the user who removed the finalizer may want to keep the artifacts.
//
// Decision: the sealed digests are those that the first poll after the sealing finds.
// Rejected: those recorded before, which are up to 5 minutes old. A publisher who corrects
// a tag and seals at once would be told of tampering, and a seal cannot be undone.
package manifest
