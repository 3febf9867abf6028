// Package purge permanently removes what was released, once nothing keeps it.
//
// Contract: [Run] is one purge of one store, under a Lease. It reads the cluster and the repositories of the store, plans,
// which only reads and gives every candidate digest one verdict, and, unless it is a dry run, sweeps, which acts on the plan.
// Its [Report] says what was decided and done. [Impersonation] is the account that a purge by hand acts as. The package needs
// no running manager to be safe.
//
// A deletion goes one way through the packages below this one:
//
//	purge             the run: its Lease, its account, its report, the collection that follows
//	  sweep   mirror  act: on what tombstones name; on what Artifacts name
//	    plan          decides; pure
//	      usage       how full the store is
//	        reading   what is decided by, of registries and of the API server
//
// Package cronjob has what the manager creates so that a purge runs.
//
// Invariants held here:
//
//   - I8: a dry run plans, and neither sweeps nor takes the Lease.
//   - I13: one sweep per store at a time, by a Lease.
//
// Decision: a purge whose clock differs from the API server's by more than a minute does not run.
//
// Decision: the purge waits for the collection that it asked for under its Lease, because another one would measure a disk
// that is about to be freed.
//
// Decision: a purge by hand acts as the store's own account, because the policy nfo-tombstones lets only that, the
// manager, and who restores a backup of all namespaces write tombstones. Rejected: to let the users of a
// namespace write them, because a forged tombstone could then make a purge delete what is used.
package purge
