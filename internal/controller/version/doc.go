// Package version reconciles definitions, designs and sites, which differ only in what they reference.
//
// Contract: [Reconciler] protects what a version references, reports whether all of it exists, and
// removes the finalizer when nothing holds the version. applications.go finds the artifacts that a
// definition's applications are deployed from, and deployable.go whether they can be deployed.
//
// Invariants held here:
//
//   - I2: only a live read that began after the version was stored makes it resolved.
//     While a chart cannot be read, the images of its last reading stay held.
//   - I10: a blocked version asks for no requeue.
package version
