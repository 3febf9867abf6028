// Package images lists the images of stores with what lists, holds and runs them.
//
// Contract: [NewCommand] is `kubectl nfo images`. It reads a cluster, no registry and no Secret, and changes nothing. It
// reads, shows and forgets one store after the other. With --export it also reads the mirror, and writes what it has of
// Artifacts into a layout, one image after the other.
//
// Invariants held here:
//
//   - I2: nothing of a store is said to be unused as long as it is not known what all its workloads run.
//   - What an export leaves out is said, and makes it fail.
package images
