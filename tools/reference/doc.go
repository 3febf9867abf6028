// Command reference writes the pages of docs/reference that follow from the sources: one page for each kind, and
// one of the metrics and alerts.
//
//	helm template ... | go run -C tools/reference . ROOT
//
// Contract: the pages follow from the sources under ROOT and the rendered chart on standard input alone, so that
// `make verify` can compare them. A page of a kind that no longer exists is removed.
//
// Decision: crd-ref-docs reads the kinds from their Go sources, as a library, because its command writes one page for
// a whole group. Metrics are found in the syntax of the sources, where each has its name beside its help: a metric
// with labels shows nothing to a scrape before it has counted something, so a running program cannot be asked.
// Alerts are those that helm renders, because the chart's templates decide which there are.
// Rejected: a list of metrics that is written by hand, which is right only on the day it is written.
package main
