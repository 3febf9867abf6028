// Package mirror purges the mirror in the cluster's own registry.
//
// Contract: [Decide] reads which Artifacts and workloads reference which images. It gives each
// Artifact, and each tag or digest that no Artifact references, a verdict in a [Plan]. It writes
// nothing. [Plan.Act] removes what may be deleted, and gives back or restores what is used again.
//
// Invariants held here:
//
//   - I1: an Artifact is deleted only if a reading of what workloads use, begun after the Artifact was claimed,
//     shows no use of it. Another reading follows the deletions, and what is used then is restored or copied again.
//   - I2: while it cannot be read what workloads use, everything is kept.
//   - I3: right before the purge asks for the collection, it reads again
//     whether anything uses what the registry was asked to delete.
//   - I4: a purge that dies leaves Artifacts in the state Releasing. The next purge continues with them or gives them back.
//   - I13: an Artifact is claimed, by a write that fails if the Artifact was written meanwhile, before its copy is removed.
//
// Decision: the mirror has no tombstones. Its subjects are the Artifacts of all namespaces, which are
// claimed by their state. A copy can be made again from its source. A copy that many namespaces share is
// kept by each of their Artifacts and by every workload that uses it. Rejected: tombstones for copies,
// because they would repeat what an Artifact says, and because they would be deleted with their namespace.
//
// Decision: the grace period of a tag in the mirror that no Artifact references is recorded in the status of the mirror's
// store, from when a purge first saw the tag. Rejected: to create an Artifact for the tag, because it would be copied again.
package mirror
