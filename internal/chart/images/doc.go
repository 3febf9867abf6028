// Package images finds the images that rendered charts and their values reference.
//
// Contract: [Find] finds images in rendered objects, and [FindInValues] in values. [Found] merges the results: each
// image once, with the reason why it is needed and the places that reference it. [Registry] is the placeholder for the
// store's registry: a reference that begins with it is an image of the store, in any text.
//
// Invariants held here:
//
//   - I1: every image that a pod would pull is found. What only may be an image is optional: if it exists it is kept, but it
//     does not have to exist.
package images
