// Package mirror purges what is in the mirror of the cluster's own registry.
//
// Contract: [Decide] reads who names and who uses what, and gives each Artifact, and each tag or digest that no Artifact
// names, a verdict in a [Plan]. It writes nothing. [Plan.Act] removes what may go, and gives back or puts back what is used
// again.
//
// Invariants held here:
//
//   - I1: an Artifact goes only if a reading of what workloads use, begun after it was claimed, shows no use of it. Another
//     reading follows the deletions, and what is used by then is put back, or copied again.
//   - I2: while it cannot be read who uses what, everything stays.
//   - I3: who uses what the registry was asked to delete is read once more right before the collection is asked for.
//   - I4: a purge that dies leaves Artifacts that are Releasing, which the next one goes on with or gives back.
//   - I13: an Artifact is claimed, by a write that fails if anybody else wrote, before its copy is removed.
//
// Decision: the mirror has no tombstones: its subjects are the Artifacts of all namespaces, claimed by their state. A copy
// can be made again from its source, and one that many namespaces share is kept by each of their Artifacts and by anyone who
// uses it. Rejected: tombstones for copies, which would be a second record of what an Artifact says, and which a
// namespace that is being deleted takes along.
//
// Decision: a tag in the mirror that no Artifact names has its grace in the status of the mirror's store, from when a purge
// saw it first. Rejected: to make an Artifact for it, which would be copied again.
package mirror
