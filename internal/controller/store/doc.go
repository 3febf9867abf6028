// Package store reconciles ArtifactStores.
//
// Contract: [Reconciler] says whether a store's place is its own and its registry answers, makes what its purge runs
// from, and says whether purges run: jobs.go judges, jobs_read.go reads their Jobs, and jobs_explain.go says what is
// wrong.
//
// Invariants held here:
//
//   - I9: one store has a place; shared.go looks for stores that may be in one registry under two names.
//   - I10: a store that is held asks for no requeue.
//
// Decision: Jobs of purges are watched, and pods and events are read live for at most two of them in a
// pass, one that waits and one that failed. Rejected: watching pods or events, which would
// hold those of the whole cluster.
//
// Decision: since when a CronJob has its schedule is read from its managedFields. Rejected: to remember
// it in memory, which a restart would forget together with every run that is late.
//
// Decision: which purges have been announced is read from the stored message of PurgeHealthy,
// which names the last one. Rejected: a field of its own, which would say the same twice.
package store
