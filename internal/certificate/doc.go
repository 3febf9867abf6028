// Package certificate makes, renews and serves the certificates of the webhooks and of the registry.
//
// Contract: a [Keeper] runs in every replica, leader or not. One Secret has the bundle of certificate
// authorities, the authority that signs, the next authority during a rotation, and the leaf. Carriers
// are the objects from which clients read the bundle: the webhook configurations, which API servers
// read, and for the registry a ConfigMap, which pods mount. A pass consists of rounds. Each round reads
// the carriers and then the Secret. plan, which has no side effects but generates keys, decides on at
// most one step. The round then writes the Secret, injects the bundle into the carriers, and only then
// serves the leaf. Every write carries the resourceVersion that was read (I13). A replica whose write
// fails reads again, and after a crash between any two writes the next pass of any replica continues.
//
// Guarantee, for replicas that are ready, in whatever order they run: a leaf that is served verifies
// against every bundle of the Keeper that was injected within the last overlap (an hour). A client that
// reads a new bundle with a delay below the overlap therefore never sees a leaf that it does not trust:
//
//   - The authority changes in three steps, an overlap apart: the next authority joins the
//     bundle; it signs the leaf; the old authority leaves the bundle. The overlap begins when
//     every carrier was seen with the bundle, and begins again if a carrier has another bundle.
//   - Carriers are read before the Secret, and patched only if they are unchanged since. An
//     old bundle therefore cannot overwrite a bundle that was already seen in the carriers.
//   - A part that is damaged, foreign or deleted is made again, and the authorities in the
//     carriers stay in the bundle meanwhile. A replica continues to serve its leaf, while
//     that leaf is good, until the new authority has been in the bundle for an overlap. A
//     replica without a leaf serves the new leaf as soon as its bundle is injected.
//   - A replica that has not read the Secret for half an overlap is not ready. It has
//     therefore left the Service before the authority of its leaf leaves the bundle.
//
// A Keeper can also issue one certificate for clients of its server, into a separate Secret, which has no key of
// an authority. In this case the replicas trust the bundle, which they read in every pass, and the clients present
// the leaf. Every ready replica therefore trusts a new authority an overlap before that authority issues a leaf.
//
// Decision: own code on crypto/x509. Rejected: open-policy-agent/cert-controller, because it replaces
// the only authority in the bundle in the same step as the leaf, while the replicas still serve the
// old leaf from a mounted Secret, which the kubelet refreshes up to a minute later, or exit, which is
// its default. It also needs RSA, wall-clock time and four more modules. Rejected: writing only in
// the leader, because every replica serves the webhook and must not wait for an election.
package certificate
