// Package why answers what keeps an object or an image.
//
// Contract: [NewCommand] is `kubectl nfo why`. It reads a cluster and no registry, and changes nothing. The answer lists
// what could not be read, and claims nothing about it.
//
// Invariants held here:
//
//   - I2: what could not be read is never left out of an answer.
//   - I14: while it is not known what all workloads run, no artifact is said to be free.
package why
