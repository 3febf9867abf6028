// Package wake decides which objects an event concerns.
//
// Contract: the package has map functions, predicates, and the cache's field indexes that they use. The
// cost of a map function depends on what its event changes: it reads an index, and does not search all
// objects. If several controllers ask the same question about one event, it is answered once (ByStore).
//
// Invariants held here:
//
//   - I10: a blocked object is woken by its holders' events, not by time.
package wake
