// Package release takes artifacts out of use in a way that can be undone.
//
// Contract: [Releaser.Release] releases entries of a manifest in this order: it gathers the evidence, records the tombstone,
// puts the undo tag if the store wants one, removes the tag, and reads the holders a second time. After an interruption it
// can be run again and completes what it began. [Releaser.Restore] restores the tags of a tombstone.
//
// Invariants held here:
//
//   - I1, I3: it releases only on evidence that was read live after the deletion was observed and that is at most 5 s
//     old at each write. It reads the holders again after the last untag.
//   - I1: a tag that another manifest lists, or has not released yet, stays, whether that manifest is StoreScoped or belongs
//     to a store in the same place.
//   - I2: a list that lacks an object which the cache or the status knows is not evidence until that object is read by
//     name.
//   - I4: record.go stores every digest before the first untag.
//   - I5, I13: restore.go claims the tombstone's entry before it restores a tag. An undo tag is put before the tag is
//     removed, and is removed after the tag is restored.
//   - I9: only tags in the manifest's own path are changed.
//   - I12: the annotation nfo.dev/on-delete: Orphan leaves the registry untouched. The holders are still checked.
//
// Decision: deletion and the release of single entries share one releaser. Rejected: a separate controller for tombstones,
// because the order of writes between a manifest, its tombstone and the registry is what keeps artifacts safe, and it is
// easiest to verify in one place.
package release
