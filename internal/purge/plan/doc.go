// Package plan decides which digests may be deleted from a registry.
//
// Contract: [NewCluster] sorts what was read from the API server into a [Cluster], and [Decide] gives every candidate
// digest of the repositories that were read one [Verdict]. [Ration] keeps what the usage of the store does not
// require to delete. Everything here is pure: the same content has the same verdicts, and nothing is read or written.
//
// Invariants held here:
//
//   - I1: nothing that a tag, a manifest or a tombstone in its grace period reaches may be deleted, nor
//     anything that a digest reaches that the registry lists without a tag and that has no tombstone yet.
//   - I2: a repository that cannot be read whole keeps all its candidates, and other repositories are not
//     affected. The same holds while a tag or a kept digest does not resolve. That a reference leads nowhere, or
//     that a digest of a tombstone no longer exists, is believed only after two readings that are a grace period
//     apart. So is a list without tags of a repository in which an earlier purge saw a tag that kept something.
//   - I2: while objects that may hold a digest cannot be listed reliably, the digest is kept.
//   - I7: each verdict has one reason, the same for the same content in any order.
//   - I9: a repository is touched only if it follows from the store and the name of the manifest.
//   - I13: an existing manifest that lists the tag of an entry holds the entry, as does a definition
//     or design that references the entry's manifest. A restore that has claimed the entry holds it
//     too, unless the claim is older than 15 minutes and no manifest lists the tag any more.
//   - I14: what the workloads that the store selects run is kept, with everything that it is a part of. If the
//     registry lists it without a tag, it gets no tombstone.
//
// Decision: grace periods are counted and compared by the API server's clock. Rejected:
// to trust the node's clock, because a clock that was 49 hours ahead has been seen.
//
// Decision: what an interrupted sweep deleted and did not record is unsettled for one more grace period.
// Rejected: to believe at once that it was deleted, because a registry that fails would give the same answer.
//
// Decision: a digest that a registry lists and that has no tag first gets a tombstone. Its grace period then
// begins when a purge saw it, not when it was pushed, and it is deleted in the same way as what was released.
//
// Decision: parents come before their children in a plan, and are deleted before them. Rejected: children
// first, because that leaves an index that looks restorable and is not, and because some registries refuse it.
package plan
