// Package mirror copies images from where they come from into the mirror, which is in the registry that nfo ships.
//
// Contract: [Mirror.Ask] asks the source of an image what its tag is at, with each login that may fit until one
// works. [Mirror.Has] asks the mirror, whose answer is deep: an image is there if all of it is. [Mirror.Copy] copies
// what is missing by digest, with all platforms or those that were chosen, signatures and whatever else is attached,
// and [Mirror.Tag] then moves the tag. An image that is there costs one request to each side and no byte of a blob.
// The logic of when is internal/controller/artifact's.
//
// Invariants held here:
//
//   - I5: a tag of the mirror is moved only from the digest that it was seen at.
//   - R1: nothing is taken for present that the mirror does not answer for.
//   - A Secret is used for Artifacts of its own namespace alone. The exception are those that spec.mirror.imagePullSecrets
//     names, which the administrator gives to all.
//   - The answer to Ask is the source's own, to the namespace's own logins, whatever is in the mirror already. The
//     mirror's repositories are shared by all namespaces: without this, a namespace could have an image that only another
//     one may read.
//   - Everything is bounded: copies and blobs at a time, requests a second to a host, logins that are tried, pods that are
//     read, bytes of manifests, and the time in which a blob has to move. Lists of tenants' objects are read as streams,
//     a few at a time, and only names that are tried are kept of them.
//
// Decision: logins are sought when a source is asked, by reading pods, ServiceAccounts and Secrets live, and nothing of
// them is kept but the name of the Secret that worked. Rejected: to watch pods and Secrets, which would hold those of the
// whole cluster in memory.
//
// Decision: whether a source is reached over plain HTTP, and by which certificates it is trusted, is what the
// ArtifactStore says that contains the image, of whichever namespace, if its registry has answered once. Neither is a
// secret, and a login that was stored for HTTPS is never sent in clear; see registry.CredentialFromSecret.
//
// Decision: an index is copied byte by byte, so that its digest and its signatures stay right, and with chosen platforms
// its other children are absent. What is chosen is decided by the rule of package platform, by which the registry also
// answers: a copy is complete if the registry answers for it, and one that was made for fewer platforms is completed
// because the registry does not answer for it any more. Rejected: to write an index of the chosen platforms, which would
// have another digest than pods, charts and signatures name; to remember in an Artifact for which platforms its copy
// was made, which pushes into the mirror and other Artifacts of the same image would not keep right.
//
// Decision: the leader alone copies, and one digest of a repository is copied once at a time in it. Rejected: claims in
// the API between replicas, which would have to be renewed while gigabytes are copied.
package mirror
