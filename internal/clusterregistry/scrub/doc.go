// Package scrub reads all blobs of a volume, slowly, and sets aside those that have become corrupt.
//
// Contract: Run is one pass, in the order of digests. It may be interrupted and goes on from its cursor, a small file
// on the volume. It may run at the same time as writers, readers and collections: a blob that is hidden, deleted or
// replaced meanwhile is not an error. A registry answers that a blob which was set aside is missing, so that the next push
// or copy brings it again; without that, a registry keeps its bytes for ever, because it does not replace what it has.
//
// A blob is set aside only after two reads of the same file gave a wrong hash. R3: a blob that cannot be read is
// reported and stays, because the disk or the network may be at fault and not the blob.
//
// Of several processes on one volume, one reads at a time: the one whose name is in the lease, a file whose time it renews
// by the volume's clock. If it has not for a while, another takes the lease over, and goes on from the cursor. So the
// volume is read once, at the rate of one process, and a process that was killed is replaced.
//
// Decision: the lease saves work and protects nothing. Two passes at once, as after a process was paused, are safe and
// only read twice. Rejected: a lock that must hold, which a process that was killed would keep; parts of the volume for
// each process, which would have to agree on how many they are.
package scrub
