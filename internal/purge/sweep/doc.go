// Package sweep deletes from a registry what a plan says may go.
//
// Contract: [Run] acts on a [Plan], wave after wave: it claims tombstones, deletes on evidence of its own, looks at what is
// left, and writes what became of each entry. It is the only code that asks for the deletion of what tombstones name.
//
// Invariants held here:
//
//   - I1, after the act: the bytes of what was deleted are kept until the repository has been read
//     again; what a tag or index turned out to need is put back, and the sweep has failed loudly.
//   - I3: a digest is deleted only if it may go in the plan and again in evidence at most 5 s
//     old, read after its tombstones were claimed; the request ends no later than that.
//   - I4: the parts of an index are stored in its tombstone before the index is deleted, so
//     that an interrupted sweep is taken up by the next one.
//   - I11: what is missing is done.
//   - I13: every entry that names a digest is claimed, by a write that fails if anybody else
//     wrote, before the digest is deleted.
//
// Decision: a sweep goes in waves of about a second; the first one is larger if the registry has answered the plan's
// requests fast. The repositories of some manifests are claimed and settled together, one write per tombstone each,
// and swept at the same time, as many requests at once as the store allows in all. One that keeps them all busy is
// swept alone, so that it is read as fast as it can be, and so is one that was too slow beside others. When all
// deletions of a wave have been answered, the next one is claimed and begins, while what the first has left is looked
// at and settled: two waves at most are claimed at a time, and none for as long as a slow registry needs for the
// deletions of another. One reading of the cluster serves all evidence of a wave, and another one all looks after it,
// which may be the first one of the next wave. Rejected: one repository after the other, which waits for one answer
// after another where each has one digest; one wave after the other, which is a quarter of the time in which the
// registry is asked for little; claiming the whole store first, because a restore would wait for the whole purge; no
// waves, because then the cluster is read without a break; and a claim per digest, because it costs two writes for
// each.
//
// Decision: a claim is one write of a tombstone's status, and what is consumed is deleted, without another one before it.
// Nearly all that this costs the API server is reading, checking and writing the object whole, and sending it to who
// watches, which a patch of one field costs it too, beside a copy of the object to apply it to. Lists of entries are atomic in
// the schema: to note the owner of each entry made a write 1.6 times as long. Rejected: patches, and claims in an object of
// their own, which the restore of an earlier version would not see.
//
// Decision: three looks at every tag, to plan, right before deleting, and after it, and a fourth where the one
// before showed no tag at all: a registry that says so by mistake removes, with the digest, the tags that it hid.
// A repository of one digest takes six requests so. Rejected: to delete on what the plan has read when that is
// fresh enough, which is a third of the requests less and a wider window.
//
// Decision: what is found in the cluster's own registry is deleted by a collection, which the purge asks for. It looks once
// more whether anything in the registry references the digest, also a manifest that was pushed by digest, which no tag
// shows. What is used by then for another reason is pushed again, so that the request no longer counts; who uses it is read
// once more right before the collection is asked for, and none is while anything could not be verified. Rejected: to delete
// it as any other digest, because an index that somebody pushes by digest at that moment would lose a child.
package sweep
