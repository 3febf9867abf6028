// Package running reads what workloads run for the person who asks.
//
// Contract: [NewReader] reads with that person's own rights, from the cluster alone. [Reader.Of] is what is known of one
// store: what was read now and, where that is not all, what the manager saw last.
//
// Invariants held here:
//
//   - I2: what could not be read is named, and is never taken for nothing.
//
// Decision: no Secret is read, so that the source HelmReleases is as the manager saw it last. Rejected: to read the
// records of Helm, which have the values of each release in clear, for a question that anyone may ask.
package running
