// Package chart reads Helm charts: their metadata, their dependencies and the images that they name.
//
// Contract: a [Reader] takes the bytes of a chart and how definitions deploy it, and returns each image with
// whether it follows the registry that the operator sets. It is the only package that knows Helm.
//
// Invariants:
//
//   - I2: a chart of which not all could be read is an error beside what was read.
//   - A chart costs nobody more than one process, bounded in time and memory, without files or network.
//
// Decision: what a chart needs is what it renders with its default values and the registry set, as
// the operator deploys it, hooks and tests included, and what its values name in the usual forms. What
// dependencies name that condition or tags switch off is told as optional. What is rendered with no
// registry set is told as replaced. Rejected: to search for what looks like a reference in all texts,
// which finds as much that is none; and to evaluate values alone, which misses what templates put together.
//
// Decision: templates are rendered in a process of their own. Rejected: to render them in the manager
// under a deadline, for a template cannot be stopped, takes memory without bound, and can end the process
// by a recursion that Go does not let anybody recover from.
package chart
