// Package access decides who may do what in the registry that nfo ships.
//
// Contract: [Controller] is an access controller of distribution. A client logs in with a Kubernetes token. Its rights
// on the ArtifactManifests that list a repository determine what it may do with the repository. [Handler] turns a
// refusal into an answer that says what is missing and how to get it.
//
// Invariants held here:
//
//   - R4: nothing can be pushed that no manifest lists. A push needs the verb push on an
//     unsealed manifest that lists the repository and the tag. To a sealed manifest, only sealed
//     artifacts that are missing can be pushed again. In the mirror, which has the operator's
//     copies, a push needs the verb push on the mirror's store, and the path of an image.
//   - Doubt refuses: without an answer of the API server no client can push. Only the nodes' agents can pull and, if
//     anonymous pulls are allowed, clients without credentials.
//   - To a client without a right on the manifest, a refusal repeats only names from the request.
//   - Only operators, and purges of the registry's stores, can read its usage and run collections.
//   - A name that no repository can have, such as a path with dots to another repository, is refused to everyone.
//   - Memory and requests are bounded, whatever clients send. Wrong tokens do not prevent questions about valid tokens:
//     each address may ask only a few questions at a time, a bounded number of its requests waits for that, and recently
//     valid tokens have their own turns.
//
// Decision: the controller asks the API server about each token and each right, and caches a positive answer for 10
// seconds, so that a withdrawn right ends. Rejected: verifying tokens in the registry, because it would not notice a
// deleted account; the registry's own tokens, because they would have to be stored.
//
// Decision: a push into the mirror needs a right on the mirror's store. Rejected: a right on the Artifacts of a
// namespace, because the pods of all namespaces pull what is pushed there.
//
// Decision: a store's purge is identified by the verb purge on the store. Rejected: the names of accounts, because
// anyone who may create accounts in a namespace chooses their names.
package access
