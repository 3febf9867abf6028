// Package reference says who holds what in the cluster, and what the charts that it names pull.
//
// Contract: references are extracted from objects by pure functions (extract.go), kept in
// the cache as field indexes (index.go), and found by one Finder (finder.go) that every
// controller and the purger use, over the cache or over a live list. A [ChartReader] (chart.go and
// chart_*.go, the only place that knows Helm) reads the bytes of a chart: its metadata, its
// dependencies and the images that it names, each with whether it follows the registry that the
// operator sets.
//
// Invariants:
//
//   - Names compare whole: a key is kind, namespace and name, joined by a separator that none
//     of them can contain, so that cnfmanifest is not cnfmanifest2.
//   - I2: a list that fails is an error, never "nobody holds it". Nor is a list that shows nobody where
//     the CustomResourceDefinition of a kind that could hold is missing, being deleted, or younger than the
//     subject (definition.go).
//   - I2: a chart of which not all could be read is an error beside what was read.
//   - I1: a definition holds, besides what it names, the manifests in which its status says that images of
//     its charts are (Kept).
//   - A chart costs nobody more than one process, bounded in time and memory, without files or network.
//   - I3: Finder.Live answers from lists begun after it was asked. Askers that wait
//     together share one list.
//
// Decision: the cache's field indexes are the graph between objects. Rejected: a graph of our
// own kept up to date by watches, which would need locks and differ between replicas and
// the purger.
//
// Decision: what is being deleted because its CustomResourceDefinition is has no holders. Rejected: to hold the
// definition up, for nobody can take its deletion back, and it could not be applied again.
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
package reference
