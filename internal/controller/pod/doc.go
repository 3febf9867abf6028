// Package pod makes Artifacts for what pods use, and repairs pods that cannot pull their images.
//
// Contract: a [Queue] takes what the webhook has seen, in every replica, and creates the Artifacts that are missing; it
// never waits, and what it has no room for is found later by who reads what runs. A [Repairer] works in the leader. It
// lists the pods that do not start every 20 seconds, and running ones every 10 minutes, as streams of which it keeps
// the few that cannot pull an image. decide (pure) says what to change; only images of containers that wait for them
// are changed, for another image restarts a running container.
//
// Invariants held here:
//
//   - R5: a pod that the mirror cannot give an image goes back to its own, also where the mirror has been removed.
//   - A pod is changed at most three times, at most once in five minutes, and the last change is to its own image. The
//     count is an annotation of the pod, so that the next leader knows it.
//   - Patches carry the resourceVersion that was read (I13), and are bounded in a second, and in a pass for each
//     namespace.
//
// Decision: to list, with a field selector. Rejected: an informer of pods, which keeps 10,000 pods in memory for the
// few that are stuck. Rejected: to delete pods, which only their owners may decide.
package pod
