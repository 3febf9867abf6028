// Package reference says who holds what in the cluster.
//
// Contract: references are extracted from objects by pure functions (extract.go), kept in
// the cache as field indexes (index.go), and found by one Finder (finder.go) that every
// controller and the purger use, over the cache or over a live list.
//
// Invariants:
//
//   - Names compare whole: a key is kind, namespace and name, joined by a separator that none
//     of them can contain, so that cnfmanifest is not cnfmanifest2.
//   - I2: a list that fails is an error, never "nobody holds it". Nor is a list that shows nobody where
//     the CustomResourceDefinition of a kind that could hold is missing, being deleted, or younger than the
//     subject (definition.go).
//   - I1: a definition holds, besides what it names, the manifests in which its status says that images of
//     its charts are (Kept).
//   - I3: Finder.Live answers from lists begun after it was asked. Askers that wait
//     together share one list.
//
// Decision: the cache's field indexes are the graph between objects. Rejected: a graph of our
// own kept up to date by watches, which would need locks and differ between replicas and
// the purger.
//
// Decision: what is being deleted because its CustomResourceDefinition is has no holders. Rejected: to hold the
// definition up, for nobody can take its deletion back, and it could not be applied again.
package reference
