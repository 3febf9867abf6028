// Package release takes artifacts out of use so that they can be brought back.
//
// Contract: [Releaser.Release] releases entries of a manifest: evidence, tombstone, the undo tag where the store wants
// one, untag, holders once more. It can be run again after any interruption and ends what was begun.
// [Releaser.Restore] is the way back.
//
// Invariants held here:
//
//   - I1, I3: it releases only on evidence read live after the deletion was observed, at most 5 s old at each write,
//     and reads the holders again after the last untag.
//   - I1: a tag that another manifest lists stays: a StoreScoped one, or one of a store in the same place.
//   - I2: a list that lacks what the cache or the status knows is not evidence until that is read by name.
//   - I4: record.go stores every digest before the first untag.
//   - I5, I13: restore.go claims the tombstone's entry before it puts a tag back. An undo tag
//     is put before the tag goes, and goes after the tag is back.
//   - I9: only what is in the manifest's own path is touched.
//   - I12: the annotation nfo.dev/on-delete: Orphan skips the registry, never the holders.
//
// Decision: deletion and the release of single entries share one releaser. Rejected: a
// controller of its own for tombstones, because the order of writes between a manifest, its
// tombstone and the registry is the product, and is read best in one place.
package release
