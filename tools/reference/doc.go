// Command reference writes the pages of docs/reference that are generated from
// the sources: one page for each kind, and one of the metrics and alerts.
//
//	helm template ... | go run -C tools/reference . ROOT
//
// Contract: the pages depend only on the sources under ROOT and the rendered chart on standard input,
// so that `make verify` can compare them. The page of a kind that no longer exists is removed.
//
// Decision: crd-ref-docs reads the kinds from their Go sources. It is used as a library, because its command
// writes one page for a whole group. Metrics are found in the syntax tree of the sources, in which each has
// its name next to its help. A running program does not show them all: a metric with labels appears only once
// it has counted something. Alerts are those that helm renders, because the chart's templates decide which
// ones exist. Rejected: a list of metrics written by hand. It would be out of date after the next change.
package main
