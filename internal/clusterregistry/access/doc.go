// Package access decides who may do what in the registry that nfo ships.
//
// Contract: [Controller] is an access controller of distribution. A client logs in with a token of Kubernetes; what it
// may do with a repository follows from its rights on the ArtifactManifests that list the repository. [Handler] turns a
// refusal into an answer that says what is missing and how to get it.
//
// Invariants held here:
//
//   - R4: nothing is pushed that no manifest lists. A push needs the verb push on a manifest that is not sealed and lists
//     the repository and the tag. To a sealed manifest, only what was sealed and is missing can be pushed again. In the
//     mirror, whose copies are the operator's, it needs the verb push on the mirror's store, and a name that an image has.
//   - Doubt refuses: without an answer of the API server nobody pushes, and nobody but a node's agent pulls.
//   - A refusal repeats only names that are in the request to those who have no right on the manifest.
//   - How full the registry is, and its collection, are for operators and for purges of its stores.
//   - A name that no repository can have, such as one with dots that lead to another repository, is refused to everyone.
//   - Memory and requests are bounded, whatever clients send. Wrong tokens do not keep the API server from being asked about
//     right ones: each address has a few questions at a time, and tokens that were good lately have turns of their own.
//
// Decision: the API server is asked with each token and each right, and the answer counts for 10 seconds, so that a
// withdrawn right ends. Rejected: verifying tokens here, which would not notice a deleted account; tokens of our own,
// which would have to be stored.
//
// Decision: who pushes into the mirror needs a right on its store. Rejected: a right on the Artifacts of a namespace, because
// what is pushed there is pulled by the pods of all namespaces.
//
// Decision: a store's purge is known by the verb purge on the store. Rejected: the names of accounts, since anyone who may
// create accounts in a namespace chooses their names.
package access
