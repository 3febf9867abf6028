// Package removal takes the operator out of a cluster, also when its manager is already dead.
//
// Contract: [Run] is one removal, in this order:
//
//  1. The webhooks go, so that none is left without a server; that of pods first, so that no new pod is
//     made to pull from a mirror that goes.
//  2. The manager is scaled to nothing, and its pods are waited for: a manager that runs would
//     undo the next steps.
//  3. The CronJobs of purges are suspended and running purges waited for, or ended; then all that
//     the manager made goes.
//  4. The finalizer comes off every object of ours. Objects stay, but for those that were being
//     deleted, which go.
//
// Invariants held here:
//
//   - I12: nothing is left stuck, and nobody trapped. Steps 1 and 2 are gates: when one fails
//     nothing else is done, because the rest is not safe beside a manager. After that every failure
//     is reported, with what to do by hand, and stops nothing that does not need it.
//   - I4: no tombstone is written, changed or deleted. What a manager was releasing when it ended
//     has its tombstone already.
//   - I8: a dry run writes nothing: it sends no request that could, not even one that asks the API
//     server to only try.
//   - I9: only what is ours goes: of a purge's objects those with our labels whose controller is a
//     store, of Jobs those that such a CronJob owns, and of finalizers ours alone, by a write that
//     fails if anybody else wrote.
//   - I11: what is missing is done. A removal that was stopped or failed is run again, and goes on.
//   - No registry is spoken to.
//
// Tombstones carry no finalizer. The policy nfo-tombstones needs no server and forbids nothing that
// is done here, so that it may stay until the person who installed it takes it away.
//
// Decision: a command, run before what was installed is deleted. Rejected: a manager that cleans up
// when it is asked to end, because it cannot know an upgrade from the end, and may be dead. Rejected:
// finalizers that the manager takes off when its CRDs are deleted, because by then its rights and
// its Deployment may be gone.
//
// Decision: metadata alone is read of our kinds. So neither a new field nor an object that cannot
// be decoded stands in the way, and a page is small.
package removal
