// Package ocilayout writes images into an OCI image layout: a folder, or a tar archive that is not compressed.
//
// Contract: [Create] begins a layout, [Writer.Add] adds an image with its satellites, and
// [Writer.Finish] completes the layout so that others can read it. Parts that the existing
// folder or archive of that name already has are not read from the source again. Each image
// has its full name, in the annotations that containerd, docker, skopeo and podman read.
//
// Invariants held here:
//
//   - A layout is incomplete until everything is written: index.json is written last, and files get their
//     final names only when they are complete. A run that ends early leaves the previous content unchanged. In
//     a folder it also leaves the complete files that it has written, and the next run continues from them.
//     Incomplete files that nothing has written to for an hour are deleted by the next run.
//   - An existing part counts only if its bytes have its digest.
//   - A folder or file that is not a layout is never overwritten, and nothing
//     outside of the folder is read or written, even if a link points there.
//   - Blobs are streamed. Only descriptors and the manifests of one image are in memory.
//
// Decision: a folder that is a layout keeps the images that have other names. Rejected:
// removing images that are no longer wanted, because a person may have put them there.
//
// Decision: an archive is written from the beginning, with the parts of the old archive. Rejected:
// appending to the old archive, because a run that ends early would leave an archive that cannot be read.
package ocilayout
