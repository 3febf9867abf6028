// Package running reads what workloads run, with the rights of the user who asks.
//
// Contract: [NewReader] reads only from the cluster, with the user's own rights. [Reader.Of] returns
// what is known of one store: what was read now and, if that is incomplete, what the manager saw last.
//
// Invariants held here:
//
//   - I2: what could not be read is named, and is never taken to be empty.
//
// Decision: no Secret is read, so the source HelmReleases is as the manager saw it last. Rejected:
// reading Helm's records. They contain the values of each release in clear, and anyone may ask what runs.
package running
