// Package store reconciles ArtifactStores.
//
// Contract: [Reconciler] reports whether a store owns its place and its registry answers,
// keeps the objects that its purge runs from, and reports whether purges run: jobs.go
// judges, jobs_read.go reads the Jobs, and jobs_explain.go explains what is wrong.
//
// Invariants held here:
//
//   - I9: a place belongs to one store; shared.go finds stores that may be in one registry under two names.
//   - I10: a held store asks for no requeue.
//
// Decision: the Jobs of purges are watched. Pods and events are read live, for at most two Jobs in a pass: one that
// waits and one that failed. Rejected: watching pods or events, because the cache would have those of the whole cluster.
//
// Decision: managedFields tell since when a CronJob has its schedule. Rejected: remembering
// the time in memory, because a restart would lose it, and with it every run that is late.
//
// Decision: the stored message of PurgeHealthy, which names the last purge, tells which
// purges have been announced. Rejected: a separate field, which would say the same twice.
package store
