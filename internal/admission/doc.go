// Package admission answers the API server's question whether an object may be written or deleted.
//
// Contract: one validating webhook per kind, served by every replica, leader or not. It asks the
// cluster alone, never a registry, and has one side effect, the event of a refused deletion. deletion.go
// is the pre-flight that all kinds share; validator.go the way of a request; the rules of each kind are
// pure functions over the object before, the object after, and the facts that lookup.go has read.
//
// Invariants held here:
//
//   - I2: before the caches are filled, and whenever something cannot be read, the answer is 503 with
//     the request to come back, never yes.
//   - I3: the cache may only refuse. What it would refuse is read once more first, because anyone who
//     deletes or applies one object after another is faster than the cache.
//   - I7: a refused deletion names the holders, in the words of the condition DeletionBlocked.
//   - I12: an object that is being deleted is never refused, nor is a change of metadata alone. The one
//     exception is a change of spec that takes a right which the user lacks: it takes nothing from a deletion.
//     config/webhook keeps the latter away from here, so that finalizers can be removed without a
//     running manager.
//
// Decision: the pre-flight is a convenience that answers at once and leaves nothing behind; safety is
// the finalizer's. Rejected: a webhook that decides whether artifacts go, because two requests that
// pass each other would both be admitted.
package admission
