// Package plan decides what may go from a registry.
//
// Contract: [NewCluster] sorts what was read of the API server into a [Cluster], and [Decide] gives every candidate digest of
// the repositories that were read one [Verdict]. [Ration] keeps what the usage of the store does not ask for. Everything here
// is pure: the same content has the same verdicts, and nothing is read or written.
//
// Invariants held here:
//
//   - I1: nothing that a tag, a manifest or a tombstone in grace reaches may go.
//   - I2: a repository that cannot be read whole keeps all its candidates, and only these. A tag that is
//     listed and does not resolve makes it so. What the registry says does not exist is dangling, or an undo
//     that is lost, only after it has said so in two looks a grace apart. So it is with a list without any tag, where a tag was
//     seen that kept something.
//   - I2: while objects that may hold something cannot be listed reliably, it is kept.
//   - I7: one reason for each verdict, the same for the same content in any order.
//   - I9: a repository is touched only if the store and the manifest's name give it.
//   - I13: an existing manifest that lists the tag of an entry holds it, as does a definition or design that names the
//     entry's manifest. So does a restore that has claimed it, unless the claim is older than 15 minutes and no manifest lists
//     the tag any more.
//   - I14: what the workloads run that the store selects is kept, with all that it is a part of.
//
// Decision: grace is counted and compared by the API server's clock. Rejected: to trust the node's clock, which was seen 49
// hours ahead.
//
// Decision: what an interrupted sweep deleted and did not record is unsettled for one more grace. Rejected: to
// believe at once that it has gone, which is what a registry that fails would say, too.
//
// Decision: what is found without a tag, where a registry lists it, first gets a tombstone. So it
// has a grace that began when we saw it, not when somebody pushed it, and one path to its end.
//
// Decision: parents come before their children in a plan, and are deleted before them. Rejected: children first, which
// leaves an index that looks restorable and is not, and which some registries refuse.
package plan
