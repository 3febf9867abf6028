// Package purge permanently deletes released artifacts that nothing needs any more.
//
// Contract: [Run] is one purge of one store, under a Lease. It reads the cluster and the repositories of the
// store. It then plans, which only reads and gives every candidate digest one verdict. Unless it is a dry run,
// it then sweeps, which carries out the plan. Its [Report] says what was decided and done. [Impersonation]
// returns the account that a manual purge acts as. The package is safe without a running manager.
//
// A deletion goes one way through the packages below this one:
//
//	purge             the run: its Lease, its account, its report, the collection that follows
//	  sweep   mirror  act: on what tombstones list; on what Artifacts reference
//	    plan          decides; pure
//	      usage       how full the store is
//	        reading   the input of decisions, from registries and the API server
//
// Package cronjob has the objects that the manager creates so that purges run.
//
// Invariants held here:
//
//   - I8: a dry run plans, and neither sweeps nor takes the Lease.
//   - I13: one sweep per store at a time, by a Lease.
//
// Decision: a purge whose clock differs from the API server's by more than a minute does not run.
//
// Decision: the purge holds its Lease while it waits for the collection that it
// asked for, because another purge would measure a disk that is about to be freed.
//
// Decision: a manual purge acts as the store's purge account. Only that account, the manager, and an account
// that restores a backup of all namespaces may write tombstones by the policy nfo-tombstones. Rejected: to let
// the users of a namespace write tombstones, because a forged tombstone could make a purge delete what is used.
package purge
