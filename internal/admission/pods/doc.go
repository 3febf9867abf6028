// Package pods decides, for the API server, from where a new pod pulls its images: as its spec says, or from the mirror.
//
// Contract: one mutating webhook, served by every replica, for new pods and for new ephemeral containers. It reads only
// the manager's cache, never a registry or the API server, and reports the images that a namespace uses (Uses), in memory
// and without waiting.
//
// Invariants held here:
//
//   - R5: a pod is never refused. Whatever goes wrong, the answer is yes, without a change. A request that exceeds the
//     bounds gets an error, which the API server ignores (failurePolicy).
//   - A request waits at most one second for its turn and is answered within one second. The number of concurrent requests
//     and the bytes of each are bounded, and a request that exceeds a bound is an error.
//   - A dry run reports no images.
//
// Decision: patches name single fields; see package rewrite. Decision: the webhook does not wait for a copy. Rejected: to
// copy during the request, because every pod would wait for its largest image, and the API server ignores an answer that
// comes after timeoutSeconds.
package pods
