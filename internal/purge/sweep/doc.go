// Package sweep deletes from a registry what a plan says may be deleted.
//
// Contract: [Run] carries out a [Plan], wave after wave: it claims tombstones, reads
// evidence and deletes by it, verifies what remains, and writes what became of each
// entry. It is the only code that requests the deletion of what tombstones list.
//
// Invariants held here:
//
//   - I1, after the act: the bytes of what was deleted are kept until the repository has been read
//     again. What a tag or index turned out to need is restored, and the sweep fails with an error.
//   - I3: a digest is deleted only if it may be deleted by the plan and also by evidence that is at most 5 s
//     old and was read after its tombstones were claimed. The request is sent before the evidence is that old.
//   - I4: the parts of an index are stored in its tombstone before the index
//     is deleted, so that the next sweep can continue an interrupted one.
//   - I11: nothing remains to be done for a digest that is missing.
//   - I13: before a digest is deleted, every entry that lists it is claimed,
//     by a write that fails if the tombstone was written meanwhile.
//
// Decision: a sweep runs in waves of about a second, or of up to two where reading the cluster takes so long. The first
// wave is larger if the registry answered the plan's requests fast. The repositories of some manifests are claimed and
// settled together, with one write per tombstone each, and swept at the same time, with as many requests in parallel as
// the store allows in total. A repository that keeps all requests busy is swept alone, so that it is read as fast as
// possible, and so is a repository that was too slow beside others. Once all deletions of a wave have been answered, the
// next wave is claimed and begins, while the first is verified and settled. At most two waves are claimed at a time, and
// none while a slow registry still carries out the deletions of another. One reading of the cluster serves all evidence of
// a wave, and another one its whole verification, which may be the first one of the next wave. Rejected: one repository
// after the other, because with one digest in each the sweep would wait for one answer at a time. Rejected: one wave after
// the other, because the registry would get few requests for a quarter of the time. Rejected: to claim the whole store
// first, because a restore would wait for the whole purge. Rejected: no waves, because the cluster would be read without a
// break. Rejected: a claim per digest, because it costs two writes for each.
//
// Decision: a claim is one write of a tombstone's status, and a tombstone that is used up is deleted without a write
// before. The API server spends nearly all of the cost on reading, checking and writing the whole object and sending it
// to its watchers. A patch of one field costs this too, and a copy of the object to apply it to. Lists of entries are
// atomic in the schema, because recording the owner of each entry made a write 1.6 times as long. Rejected: patches,
// for this reason. Rejected: claims in a separate object, because the restore of an earlier version would not see them.
//
// Decision: every tag is read three times: for the plan, right before deleting, and after it. If the reading before deleting
// shows no tag at all, it is repeated: a registry that shows no tags by mistake would remove, with the digest, the tags that
// it hid. A repository with one digest takes six requests. Rejected: to delete by what the plan has read if that is fresh
// enough, which would save a third of the requests, because another writer would have more time to change something unseen.
//
// Decision: a digest that was found in the cluster's own registry is deleted by a collection, which the purge
// asks for. The collection checks again whether anything in the registry references the digest, including a
// manifest that was pushed by digest and that no tag shows. A digest that is meanwhile used for another
// reason is pushed again, which cancels the request. Its users are read again right before the purge asks for
// the collection, and the purge asks for none while anything could not be verified. Rejected: to delete it
// like any other digest, because an index that is pushed by digest at that moment would lose a child.
package sweep
