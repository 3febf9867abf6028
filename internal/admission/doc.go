// Package admission decides, for the API server, whether an object may be created, changed or deleted.
//
// Contract: one validating webhook per kind, served by every replica, leader or not. It reads the
// cluster only, never a registry, and has one side effect, the event of a refused deletion. deletion.go
// has the checks before a deletion, which all kinds share; validator.go handles a request; the rules of each kind are
// pure functions over the object before, the object after, and the facts that lookup.go has read.
//
// Invariants held here:
//
//   - I2: until the caches are filled, and whenever something cannot be read, the answer is 503 with
//     the request to retry, never yes.
//   - I3: the cache may only refuse. Before it refuses, the reason is read live, because a user who
//     deletes or applies one object after another is faster than the cache.
//   - I7: a refused deletion names the holders, in the words of the condition DeletionBlocked.
//   - I12: an object that is being deleted is never refused, nor is a change of metadata alone. The one
//     exception is a change of spec that needs a right which the user lacks: refusing it does not delay the deletion.
//     config/webhook sends no changes of metadata here, so that finalizers can be removed without a
//     running manager.
//
// Decision: these checks are a convenience that answers at once and leaves nothing behind. The finalizer provides the
// safety. Rejected: a webhook that decides whether artifacts are deleted, because two concurrent requests would both be
// admitted.
package admission
