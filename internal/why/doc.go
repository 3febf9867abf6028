// Package why says what keeps an object or an image.
//
// Contract: [NewCommand] is `kubectl nfo why`. It reads a cluster and no registry, and changes nothing. What it may not
// look at it names, and then says no more than it knows.
//
// Invariants held here:
//
//   - I2: what could not be looked at is never left out of an answer.
//   - I14: as long as it is not known what all workloads run, nothing is said to be free.
package why
