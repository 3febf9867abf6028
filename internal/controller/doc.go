// Package controller reconciles the product's kinds.
//
// Contract: one reconciler per kind, all in one shape: hold (finalizer, and go on in the
// same pass) -> observe (reads only) -> decide (pure: same input, same verdict) -> act (the
// only external writes) -> report (the only status write, only if changed; events after it, on
// transitions only) -> release (the finalizer, last). A metadata patch overwrites status set in
// memory, hence that order.
//
// The way of one delete: manifest.go (shell) -> manifest_observe.go (who holds it, what the
// registry shows) -> manifest_decide.go -> release.go (evidence.go read live, tombstone, the
// undo tag of quarantine.go where the store wants one, untag, holders once more) -> manifest.go
// (finalizer off). restore.go is the way back.
//
// Beside that way: chart.go reads charts, manifest_charts.go says where their images are, and version_applications.go
// what a definition comes to by them. store_jobs.go judges whether purges run: store_jobs_read.go reads
// their Jobs, and store_jobs_explain.go says what is wrong.
//
// Invariants held here:
//
//   - I1, I3: release.go lets go only on evidence read live after the deletion was observed,
//     at most 5 s old at each write, and reads the holders again after the last untag.
//   - I2: any read that fails ends the pass with the finalizer in place and a condition. So does a list that
//     lacks what the cache or the status knows, until that is read by name.
//   - I1: a tag that another manifest lists stays: a StoreScoped one, or one of a store in the same place.
//   - I4: tombstone.go stores every digest before the first untag.
//   - I5, I13: restore.go claims the tombstone's entry before it puts a tag back. An undo tag
//     is put before the tag goes, and goes after the tag is back.
//   - I1, I4: what was sealed stays recorded whatever its tag is at (seal.go). putback.go overwrites
//     a tag only at a person's order, given once, after a fresh look, with what was there recorded.
//   - I9: an inert store's manifests are neither observed nor released. What package place refuses is inert
//     before its status says so. store_shared.go looks for stores that may be in one registry.
//   - I10: a blocked object asks for no requeue; watches.go wakes it by its holder's events.
//   - I12: the annotation nfo.dev/on-delete: Orphan skips the registry, never the holders.
//
// Decision: a pass that needs a registry needs a place there, which lanes.go bounds by store, by namespace, and for
// all registries that are slow; who gets none comes again. A poll of many entries is a round of turns
// (polls.go). Rejected: workers for each tenant, of which there can be thousands; and deadlines alone, after
// which a registry that always takes longer would never be read.
//
// Decision: neither the cache nor a live list keeps what no decision reads, such as annotations of others and the
// certificates of stores (livelist). Rejected: bounds in the schema alone, for a thousand objects of an ordinary size
// can be large, too.
//
// Decision: deletion and the release of single entries share one releaser. Rejected: a
// controller of its own for tombstones, because the order of writes between a manifest, its
// tombstone and the registry is the product, and is read best in one place.
//
// Decision: charts are read by a controller that writes nothing and hands what it read to the manifests' one.
// Rejected: to read them in the pass over a manifest, which would keep deletions waiting; and a second
// writer of the same status, which would make the two run into each other's writes.
//
// Decision: what was read of a chart is kept in the manifest's status, under its digest. Rejected: to
// keep it in memory, from which every new leader would read all charts again.
//
// Decision: a sealed tag that moved is told and left alone until a person decides. Rejected: putting
// it back by itself, or an annotation that stays, for two automata would push over each other for ever
// and nobody would be told which of them is wrong.
//
// Decision: what was sealed is kept in an annotation, and what can be undone in a tombstone's spec. Rejected: to
// keep either in a status, which backups leave out and people wipe.
//
// Decision: objects that vanish without their finalizer leave an event, and of a manifest a tombstone
// (vanished.go). Rejected: to release them, because the user who removed the finalizer may want the artifacts.
//
// Decision: sealed is what the first look after the sealing finds. Rejected: what was recorded before,
// which is up to 5 minutes old: a publisher who mends a tag and seals at once would be told of tampering,
// and no way would lead back from a seal.
//
// Decision: Jobs of purges are watched, and pods and events are read live for at most two of them in a
// pass, one that waits and one that failed. Rejected: watching pods or events, which would
// hold those of the whole cluster.
//
// Decision: since when a CronJob has its schedule is read from its managedFields. Rejected: to remember
// it in memory, which a restart would forget together with every run that is late.
//
// Decision: which purges have been told of is read from the stored message of PurgeHealthy,
// which names the last one. Rejected: a field of its own, which would say the same twice.
package controller
