// Package mirror copies images from their source registries into the mirror, which is in the registry that nfo ships.
//
// Contract: [Mirror.Ask] asks the source of an image for the digest of its tag, with each login that may fit until one
// works. [Mirror.Has] asks the mirror whether it has an image completely. [Mirror.Copy] copies by digest what the mirror
// lacks: all platforms or the chosen ones, signatures and everything else that is attached. [Mirror.Tag] then moves the
// tag. An image that the mirror has costs one request to each side and no byte of a blob. Package
// internal/controller/artifact decides when to copy.
//
// Invariants held here:
//
//   - I5: a tag of the mirror is moved only if it still has the digest that was seen before.
//   - R1: an image counts as present only if the mirror answers for it.
//   - A Secret is used only for Artifacts of its own namespace. The exception are the Secrets in
//     spec.mirror.imagePullSecrets, which the administrator gives to all namespaces.
//   - The answer to Ask always comes from the source, with a login of the Artifact's namespace, whatever the mirror has
//     already. All namespaces share the mirror's repositories: otherwise a namespace could get an image that only another
//     namespace may read.
//   - Everything is bounded: concurrent copies and blobs, requests per second to a host, logins per request, pods that are
//     read, bytes of manifests, and the time in which a blob must make progress. Lists of tenants' objects are read as
//     streams, a few at a time, and only the names of Secrets that can be tried are kept.
//
// Decision: logins are found when a source is asked, by reading pods, ServiceAccounts and Secrets live. Only the name of the
// Secret that worked is kept. Rejected: to watch pods and Secrets, because the caches would keep those of the whole
// cluster in memory.
//
// Decision: the ArtifactStore that contains an image decides whether its source is reached over plain HTTP, and which
// certificate authorities are trusted. The store may be in any namespace, but its registry must have answered once. Neither
// setting is a secret, and a login that was stored for HTTPS is never sent in clear text; see
// registry.CredentialFromSecret.
//
// Decision: an index is copied byte by byte, so that its digest and its signatures stay valid. If platforms are chosen, its
// other children are missing in the mirror. Package platform has the rule for the choice, and the registry answers by the
// same rule: a copy is complete if the registry answers for it, and a copy for fewer platforms is completed because the
// registry no longer answers for it. Rejected: to write an index of the chosen platforms, because it would have another
// digest than the one in pods, charts and signatures; to record in an Artifact for which platforms its copy was made,
// because pushes into the mirror and other Artifacts of the same image would make the record wrong.
//
// Decision: only the leader copies, and it copies one digest of a repository once at a time. Rejected: claims in the
// API between replicas, because they would have to be renewed while gigabytes are copied.
package mirror
