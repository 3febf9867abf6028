// Package rewrite says which of a pod's images come from the mirror, and what they are called there.
//
// Contract: it is pure. An Image is read from what a container names; its Path is its place in the mirror, and back.
//
// Decision: the host is the first segment of the path, so that everybody can read in a pod where its image is from.
// Rejected: a hash, which nobody can read; the image's name alone, under which two registries have two images.
package rewrite
