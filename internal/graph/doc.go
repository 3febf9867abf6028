// Package graph says what keeps what alive in one repository of a registry.
//
// Contract: pure. A Graph is built for one decision from one reading of the repository
// and thrown away; it has no lock because nothing changes it. Build and Reach take one
// pass over image manifests and tags, so twice the content costs twice the time.
//
// Facts it holds, by the number of the invariant in docs/architecture.md:
//
//   - I1: whatever a root reaches is in Reach's answer, through indexes of any depth,
//     attestation children included, from a subject to its satellites, and from a
//     satellite that is itself kept to its subject.
//   - I7: each reached digest has exactly one Why, the same for the same content in any order.
//
// Decision: a satellite tag (sha256-<hex>, or cosign's .sig, .att and .sbom) is not a root; it
// lives and dies with its subject. Rejected: every tag is a root, because then a signed
// image could never be purged, its signature's tag keeping the signature and that its subject.
package graph
