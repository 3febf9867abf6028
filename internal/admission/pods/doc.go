// Package pods answers the API server's question how a new pod pulls its images: as it says, or from the mirror.
//
// Contract: one mutating webhook, served by every replica, for new pods and for new ephemeral containers. It asks the
// manager's cache alone, never a registry and never the API server, and hands on what a namespace uses (Uses), in
// memory and without waiting.
//
// Invariants held here:
//
//   - R5: a pod is never refused. Whatever goes wrong, the answer is yes, without a change; and what cannot be answered
//     within the bounds is an error that the API server ignores (failurePolicy).
//   - A request takes at most two seconds: the requests at once, the bytes of each and the time are bounded, and what
//     is over is an error.
//   - A dry run hands nothing on.
//
// Decision: patches name single fields; see package rewrite. Decision: it does not wait for a copy. Rejected: to copy
// in the request, which keeps every pod waiting for its largest image, and beyond timeoutSeconds for nothing.
package pods
