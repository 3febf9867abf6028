// Package ocilayout writes images into an OCI image layout: a folder, or a tar archive that is not compressed.
//
// Contract: [Create] begins a layout, [Writer.Add] adds an image with what is attached to it, and [Writer.Finish] makes it
// one that others can read. What is there already, in the folder or the archive of that name, is not read from the
// source again. Each image has its whole name, in the annotations that containerd, docker, skopeo and podman read.
//
// Invariants held here:
//
//   - Nothing is a layout before it is whole: index.json is written last, and files take their names when they are
//     complete. A run that ends early leaves what was there before, and in a folder what it has written, which the next
//     one goes on from.
//   - What is there counts only if its bytes are of its digest.
//   - Nothing is overwritten that is not a layout, and nothing outside of the folder is read or written, whatever its
//     links say.
//   - Blobs are streamed. In memory are descriptors, and the manifests of one image.
//
// Decision: a folder that is a layout keeps the images that have other names. Rejected: to remove what is no longer
// wanted, because a person may have put it there.
//
// Decision: an archive is written anew, with the parts that the old one has. Rejected: to append to it, because a run that
// ends early would leave none that can be read.
package ocilayout
