// Package images finds the images that rendered charts and their values name.
//
// Contract: [Find] takes them out of rendered objects, [FindInValues] out of values, and [Found] joins what both found:
// each image once, with why it is needed and where it is named. [Registry] is the placeholder that stands for the
// store's registry: what names it is an image of the store, in whatever text it is.
//
// Invariants held here:
//
//   - I1: what a pod would pull is found. What only may be an image is optional, so that it keeps what it names and
//     asks for nothing.
package images
