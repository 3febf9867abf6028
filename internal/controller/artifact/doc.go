// Package artifact reconciles Artifacts: it decides when an image is copied into the mirror, and says what the mirror has
// of it.
//
// Contract: [Reconciler] asks the mirror and the source of an Artifact, has internal/mirror copy what is missing, and
// writes status but who uses the image, which is written by what reads workloads.
//
// Invariants held here:
//
//   - R5, R6: an Artifact that is Present stays so while the mirror has the image, whatever the source says or does not
//     say. The state is left only if the mirror itself says that something is missing.
//   - An Artifact becomes Present only after its source has answered to the logins of its own namespace, also if the mirror
//     has the image because another namespace's was copied. So webhooks that go by the state give nobody an image that
//     the namespace may not read. What nodes pull from the mirror they pull without a login: who knows the name of an
//     image and can make pods can have it from there.
//   - An Artifact that a purge has claimed is not touched, and a copy that goes on meanwhile ends: every write checks that.
//
// The states: "" and Pending become Copying and then Present. Present becomes Corrupt when the mirror no longer answers
// for all of the image, and is copied again. A tag that has moved at the source is copied while the state stays Present,
// and the mirror's tag moves when all is there. Failed is tried again: after 10 seconds, and then twice as long each time
// up to 30 minutes, and from 5 minutes on where a person has to act.
//
// Decision: a copy runs in a worker of the controller, and lanes bound how many there are of all, of a namespace, of a
// source and of slow sources. Rejected: goroutines of its own with a queue of its own, which the workqueue already is.
//
// Decision: after its turn, a copy gives up its place if another namespace waits for one, so that sources that drip cannot
// keep all places. The faster a copy is, and the more often it has given up its place, the longer its turn. Rejected: to end
// copies for which nobody waits; to bound the time of a copy, in which a large image on a slow line would never be copied.
//
// Decision: when an Artifact is looked at next is remembered in memory. After a restart all are looked at, a few at a
// time, at two requests each. Rejected: times in status, which would be written every 10 minutes for nothing.
package artifact
