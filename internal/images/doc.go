// Package images lists the images of stores, with the manifests that list them and the objects and workloads that hold them.
//
// Contract: [NewCommand] is `kubectl nfo images`. It reads a cluster, no registry and no Secret, and changes nothing. It
// reads and shows one store after another, and keeps none in memory. With --export it also reads the mirror, and writes the
// images of Artifacts that the mirror has into a layout, one image after another.
//
// Invariants held here:
//
//   - I2: no image of a store is said to be unused while it is not known what all of the store's workloads run.
//   - An export names every image that it leaves out, and fails if there is one.
package images
