// Package reference finds out which objects hold which other objects in the cluster.
//
// Contract: references are extracted from objects by pure functions (extract.go), kept in
// the cache as field indexes (index.go), and found by one Finder (finder.go) that every
// controller and the purger use, over the cache or over a live list.
//
// Invariants:
//
//   - Names are compared as a whole: a key is kind, namespace and name, joined by a separator that none
//     of them can contain, so that cnfmanifest never matches cnfmanifest2.
//   - I2: a list that fails is an error and never means that there are no holders. A list without holders is an error too
//     if the CustomResourceDefinition of a kind that could hold the subject is missing, being deleted, or younger than the
//     subject (definition.go).
//   - I1: a definition holds the objects that it references, and also the manifests that contain images of its charts
//     according to its status (Kept).
//   - I3: Finder.Live answers from lists that began after it was called. Callers that wait at the same time share one list.
//
// Decision: the cache's field indexes are the graph between objects. Rejected: a separate graph kept up to date by watches,
// because it would need locks and would differ between replicas and the purger.
//
// Decision: an object that is being deleted because its CustomResourceDefinition is being deleted has no holders. Rejected:
// to block the deletion of the definition, because that deletion cannot be cancelled, and the definition could not be
// applied again.
package reference
