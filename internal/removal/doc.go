// Package removal removes the operator from a cluster, even if its manager no longer runs.
//
// Contract: [Run] is one removal, in this order:
//
//  1. It deletes the webhooks, so that none is left without a server. The webhook of pods is deleted first, so that no new
//     pod is made to pull from a mirror that is about to be removed.
//  2. It scales the manager to 0 and waits for its pods: a running manager would undo the next steps.
//  3. It suspends the CronJobs of purges, and waits for running purges or ends them. Then it deletes everything that the
//     manager made.
//  4. It removes the finalizer from every object of nfo's kinds. The objects stay, except those that were being deleted.
//
// Invariants held here:
//
//   - I12: no object and no user is left stuck. Steps 1 and 2 are gates: when one fails,
//     nothing else is done, because the rest is not safe beside a manager. After that every failure
//     is reported, with what to do by hand, and stops only the steps that depend on it.
//   - I4: no tombstone is written, changed or deleted. Artifacts whose release was interrupted
//     have their tombstone already.
//   - I8: a dry run writes nothing. It sends no request that could write, not even a dry-run request to the API
//     server.
//   - I9: only nfo's own objects are deleted: of a purge's objects those with nfo's labels whose controller is a
//     store, of Jobs those that such a CronJob owns. Only nfo's finalizer is removed, by a write that
//     fails if another writer has changed the object.
//   - I11: an object that is already missing counts as done. A removal that was stopped or failed can be run again, and
//     continues.
//   - No request is sent to a registry.
//
// Tombstones have no finalizer. The policy nfo-tombstones needs no server and forbids nothing that
// is done here, so it can stay until it is uninstalled.
//
// Decision: a command, run before the installed objects are deleted. Rejected: a manager that cleans up
// when it is terminated, because it cannot tell an upgrade from a removal, and may not be running. Rejected:
// finalizers that the manager removes when its CRDs are deleted, because its rights and
// its Deployment may be deleted before them.
//
// Decision: only the metadata of nfo's kinds is read. So neither a new field nor an object that cannot
// be decoded blocks the removal, and a page is small.
package removal
