// Package wake says which objects an event concerns.
//
// Contract: map functions, predicates, and the cache's field indexes that they look up. A map function costs what its
// event changes: it looks in an index, not through all objects, and what several controllers ask of one event is found once
// (ByStore).
//
// Invariants held here:
//
//   - I10: a blocked object is woken by its holders' events, not by time.
package wake
