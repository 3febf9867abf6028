// Package graph computes which digests of one repository of a registry keep which other digests.
//
// Contract: the package is pure. A Graph is built for one decision from one reading of the
// repository and then discarded. It needs no lock because nothing changes it. Build and Reach
// take one pass over image manifests and tags, so twice the content takes twice the time.
//
// Facts it holds, by the number of the invariant in docs/architecture.md:
//
//   - I1: Reach returns every digest that a root reaches: through indexes of any depth, including attestation
//     children, from a subject to its satellites, and from a satellite that is itself kept to its subject.
//   - I7: each reached digest has exactly one Why, the same for the same content in any order.
//
// Decision: a satellite tag (sha256-<hex>, or cosign's .sig, .att and .sbom) is not a root; it is kept and
// deleted with its subject. Rejected: to treat every tag as a root, because the tag of a signature would
// keep the signature, the signature would keep its subject, and a signed image could never be purged.
package graph
