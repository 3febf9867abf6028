// Package rewrite decides which images of a pod are pulled from the mirror, and translates their references.
//
// Contract: the package is pure. An Image is parsed from a container's image reference. Its Path is its place in the mirror,
// and can be translated back. Rules say which images and which namespaces are mirrored. A Pod has the fields of a pod that
// contain images; Rewrite and Restore change them.
//
// Invariants held here:
//
//   - A pod that was rewritten and then restored is the same as before, byte by byte: the annotation has each image as it
//     was written. If the annotation is lost, the reference to the mirror still says which image it is.
//   - A rewritten image is not rewritten again, whichever address of the node or of the registry it has.
//   - R6: images of the registry that nfo ships, of nfo itself, and of the operator's namespace are never mirrored.
//   - A change that would make a pod larger than the API server accepts is not made.
//
// Decision: the host is the first segment of the path, so that everybody can see in a pod where its image comes from.
// Rejected: a hash, because nobody can read it; the image's name alone, because two registries may have different images
// with the same name.
//
// Decision: patches change single fields of a pod. Rejected: to decode a whole pod and compare it with the changed one,
// because that would remove every field that a newer API server has and this program does not know.
package rewrite
