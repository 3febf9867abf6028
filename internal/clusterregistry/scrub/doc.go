// Package scrub slowly reads all blobs of a volume, and sets aside those that have become corrupt.
//
// Contract: Run runs one pass, in the order of digests. An interrupted pass continues from its cursor,
// a small file on the volume. It may run at the same time as writers, readers and collections: a blob
// that is hidden, deleted or replaced meanwhile is not an error. A registry answers that a blob that
// was set aside is missing, so that the next push or copy brings it again. Otherwise the registry
// would keep the wrong bytes forever, because it does not replace existing blobs.
//
// A blob is set aside only after two reads of the same file gave a wrong hash. R3: a blob that cannot be read is
// reported and stays, because the fault may be in the disk or the network and not in the blob.
//
// Only one of several processes on a volume reads at a time: the holder of the lease. The lease
// is a file that contains the holder's name and whose time the holder renews by the volume's
// clock. If the lease expires, another process takes it over and continues from the cursor. The
// volume is therefore read once, at the rate of one process, and a killed process is replaced.
//
// Decision: the lease saves work and protects nothing. Two passes at once, for example after a process was paused, are
// safe and only read twice. Rejected: a lock that excludes a second pass, because a killed process would keep it; a
// part of the volume for each process, because the processes would have to agree on their number.
package scrub
