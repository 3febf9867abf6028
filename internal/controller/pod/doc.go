// Package pod creates Artifacts for the images that pods use, and repairs pods that cannot pull their images.
//
// Contract: a [Queue] takes the images that the webhook has seen, in every replica, and creates the missing
// Artifacts. It never blocks; images that it has no room for are found later when workloads are read. A [Repairer]
// runs in the leader. It lists the pods that do not start every 20 seconds, and running pods every 10 minutes, as
// streams of which it keeps only the few pods that cannot pull an image. decide (pure) decides what to change.
// Only images of containers that wait for them are changed, because another image restarts a running container.
//
// Invariants held here:
//
//   - R5: a pod that the mirror cannot give an image gets its own image back, even if the mirror has been removed.
//   - A pod is changed at most three times, at most once in five minutes, and the last change is
//     to its own image. An annotation of the pod has the count, so that the next leader knows it.
//   - Patches carry the resourceVersion that was read (I13). Their
//     rate is bounded, and their number in a pass for each namespace.
//
// Decision: pods are listed with a field selector. Rejected: an informer of pods, which keeps 10,000 pods
// in memory for the few that are stuck. Rejected: deleting pods, which only their owners may decide.
package pod
