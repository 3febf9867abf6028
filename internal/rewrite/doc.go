// Package rewrite says which of a pod's images come from the mirror, and what they are called there.
//
// Contract: it is pure. An Image is read from what a container names; its Path is its place in the mirror, and back.
// Rules say which images are mirrored, and whose; a Pod is what of a pod names images, and is changed by them.
//
// Invariants held here:
//
//   - A pod that was rewritten and then restored is what it was, byte by byte: the annotation has each image as it was
//     written, and the name in the mirror says which image it is where the annotation is lost.
//   - What is rewritten is not rewritten again, by whatever name of this machine or of the registry it is named.
//   - R6: images of the registry that nfo ships, of nfo, and of the operator's namespace are never mirrored.
//   - A change that would make a pod larger than the API server takes is not made.
//
// Decision: the host is the first segment of the path, so that everybody can read in a pod where its image is from.
// Rejected: a hash, which nobody can read; the image's name alone, under which two registries have two images.
//
// Decision: patches name single fields of a pod. Rejected: to decode a whole pod and to compare it with the changed
// one, which would remove every field that a newer API server has and this program does not know.
package rewrite
