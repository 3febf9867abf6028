// Package artifact reconciles Artifacts: it decides when an image
// is copied into the mirror, and reports what the mirror has of it.
//
// Contract: [Reconciler] reads an Artifact's image in the mirror and at the source,
// lets internal/mirror copy what is missing, and writes the status. The users of the
// image are the exception: [NeedReconciler], which reads workloads, writes those.
//
// Invariants held here:
//
//   - R5, R6: an Artifact that is Present stays so while the mirror has the image, whatever the
//     source answers. It leaves that state only if the mirror itself says that something is missing.
//   - An Artifact becomes Present only after its source has answered to the logins of its own
//     namespace, even if the mirror already has the image for another namespace. So webhooks that rely
//     on the state give no namespace an image that it may not read. Nodes pull from the mirror without
//     a login: anybody who knows the name of an image and can create pods can get it from there.
//   - An Artifact that a purge has claimed is not touched, and a
//     copy that is running then ends: every write checks this.
//
// The states: "" and Pending become Copying and then Present. Present becomes Corrupt when the mirror no longer has
// all of the image, which is then copied again. If a tag was overwritten at the source, the new image is copied while
// the state stays Present, and the mirror's tag moves once the copy is complete. Failed is retried after 10 seconds,
// and then after twice the time up to 30 minutes. If a person has to act, the first retry is after 5 minutes.
//
// Decision: a copy runs in a worker of the controller, and lanes bound how many run
// in total, for one namespace, from one source and from slow sources. Rejected:
// separate goroutines with their own queue, because the workqueue already does this.
//
// Decision: after its turn, a copy gives up its place if another namespace waits for one, so
// that slow sources cannot keep all places. The turn is longer the faster a copy is, and the
// more often it has given up its place. Rejected: ending copies that nobody waits for. Rejected:
// a time limit for copies, because a large image on a slow line would never be copied.
//
// Decision: the time of an Artifact's next check is kept in memory. After a restart all Artifacts are checked, a few at
// a time, with two requests each. Rejected: times in the status, which would be written every 10 minutes for no use.
package artifact
