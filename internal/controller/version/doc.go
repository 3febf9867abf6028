// Package version reconciles definitions, designs and sites, which differ only in what they name.
//
// Contract: [Reconciler] holds what a version names, says whether all of it is there, and takes its finalizer off when
// nothing holds it. applications.go says what a definition's applications come to, deployable.go whether they can be
// deployed.
//
// Invariants held here:
//
//   - I2: only a live read, begun after the version was stored, calls it resolved. While a chart cannot be read, the
//     images of its last reading stay held.
//   - I10: a blocked version asks for no requeue.
package version
