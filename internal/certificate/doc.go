// Package certificate makes, renews and serves the certificates of the webhooks and of the registry.
//
// Contract: a [Keeper] runs in every replica, leader or not. One Secret holds the bundle of
// certificate authorities, the one that signs, the next one while they change, and the leaf.
// Carriers are the objects that clients learn the bundle from: the webhook configurations, which
// API servers read, and for the registry a ConfigMap, which pods mount.
// Each pass reads the carriers, then the Secret, lets plan (pure but for the keys
// that it draws) decide at most one step, writes the Secret, puts the bundle into the
// carriers, and only then serves the leaf. Every write carries the resourceVersion that
// was read (I13): the loser reads again, and a crash between any two writes is taken up by the
// next pass of anybody.
//
// What holds, for replicas that are ready, whatever order they run in: a leaf that is served
// verifies against every bundle of ours that was injected within the last overlap (an hour).
// So a client that learns of a bundle late, but within the overlap, never meets a leaf that it does
// not trust:
//
//   - The authority changes in three steps, an overlap apart: the next one joins the bundle; it
//     signs the leaf; the old one leaves the bundle. The time counts from when every
//     carrier was seen to carry the bundle, and starts anew when one carries another.
//   - Carriers are read before the Secret, and patched only as they were read. So an old
//     bundle cannot overwrite one that was already seen to be injected.
//   - What is damaged, foreign or deleted is made anew, and the authorities that the
//     carriers have stay for the time. A replica goes on with the leaf that it has, while
//     that is good, until the new authority has been there for an overlap. One that has none
//     serves the new leaf as soon as its bundle is injected.
//   - A replica that has not read the Secret for half an overlap is not ready, and so out of the
//     Service before the authority of its leaf leaves the bundle.
//
// A Keeper can also issue one certificate for clients of its server, into a Secret of its own, which has no key of an
// authority. Here the roles are changed: replicas trust the bundle, which they read in every pass, and clients present the
// leaf, so that a leaf of a new authority is known to every ready replica an overlap before it is issued.
//
// Decision: own code on crypto/x509. Rejected: open-policy-agent/cert-controller, which replaces
// the one authority in the bundle in the same step as the leaf, while the replicas still serve
// the old leaf from a mounted Secret that the kubelet refreshes a minute later or, by default,
// exit; it also needs RSA, wall-clock time and four more modules. Rejected: a leader that writes,
// because the webhook serves from every replica and must not wait for an election.
package certificate
