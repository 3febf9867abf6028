// Package manifest reconciles ArtifactManifests.
//
// Contract: [Reconciler] keeps a manifest's status at what the registry has, keeps what is overwritten in tombstones,
// and gives a manifest that is deleted, or entries that left it, to package release. [VanishedReconciler] records
// objects that were deleted without their finalizer.
//
// Invariants held here:
//
//   - I2: any read that fails ends the pass with the finalizer in place and a condition. So does a list that
//     lacks what the cache or the status knows, until that is read by name.
//   - I1, I4: what was sealed stays recorded whatever its tag is at (seal.go). putback.go overwrites
//     a tag only at a person's order, given once, after a fresh look, with what was there recorded.
//   - I9: an inert store's manifests are neither observed nor released. What package place refuses is inert
//     before its status says so.
//   - I10: a blocked object asks for no requeue; package wake wakes it by its holder's events.
//
// Decision: a pass that needs a registry needs a place there (package lane). A poll of many entries is a round of turns
// (polls.go). Rejected: workers for each tenant, of which there can be thousands; and deadlines alone, after
// which a registry that always takes longer would never be read.
//
// Decision: a sealed tag that moved is reported and left alone until a person decides. Rejected: putting
// it back by itself, or an annotation that stays, for two automata would overwrite each other for ever
// and nobody would learn which of them is wrong.
//
// Decision: what was sealed is kept in an annotation, and what can be undone in a tombstone's spec. Rejected: to
// keep either in a status, which backups leave out and people wipe.
//
// Decision: objects that vanish without their finalizer leave an event, and of a manifest a tombstone
// (vanished.go). Rejected: to release them, because the user who removed the finalizer may want the artifacts.
//
// Decision: sealed is what the first look after the sealing finds. Rejected: what was recorded before,
// which is up to 5 minutes old: a publisher who mends a tag and seals at once would read of tampering,
// and no way would lead back from a seal.
package manifest
