// Package storage is the driver by which distribution's registry writes to a volume that is collected meanwhile.
//
// Contract: the driver is registered with distribution by [Name] and serves one [volume.Volume], which any number of
// processes may write to and collect at the same time. It answers as distribution's file system driver does, but for:
//
//   - Presence is deep (R1): a revision link is absent, to anyone who reads it, unless everything below it is there: its
//     manifest, its config and layers with their links and of the sizes that the manifest names, and its children
//     likewise. What clients skip because it is present is therefore whole, and what is not whole is pushed again.
//   - In the mirror, and only with chosen platforms, children of other platforms may be missing below an index. One that is
//     missing is answered as such.
//   - No push is lost (R2): each link is published first, and then everything below it is looked at. A file that a
//     collection has hidden is taken back; if one is missing all the same, the push fails, and the client repeats it.
//     A link is never taken back: another push may depend on it.
//   - Who learns that a blob is present holds it: its layer link becomes young.
//   - A blob that is corrupt is set aside and absent from then on, so that a push brings it again: one whose size is
//     not what a manifest says is read whole once, each blob is checked when it is first served from its beginning to
//     its end, and before an upload is dropped because its content is there already.
//   - An upload has one writer at a time, and none any more once it is being put in its place, or cancelled. Another request
//     is told to try again.
//   - A link that is empty is written again from its own path, a tag from its history.
//   - Few requests at a time have a large manifest in memory, and a repository has a bounded number of uploads.
//   - The looks of one request are bounded together, in files and in bytes of manifests. A look that is given up refuses
//     the request; it never calls anything absent.
//   - What has been acknowledged is on the disk, with the folders that were made for it.
//
// Decision: no cache of descriptors. It would answer for a file that a collection has removed since. What is kept in
// memory is what cannot change: what a digest's manifest names, and that a file of this size and time had the right
// content.
//
// Decision: who writes to an upload locks the very opening of the file that it writes to, and the last writer deletes the
// upload's "startedat" before it gives the lock up. The file becomes the content of all tenants while others may still have
// it open, and distribution hashes what came and not what the file has. No such lock is outlived: it ends when the file is
// closed, also with a process that is killed; an NFS server refuses what a host writes whose lock has expired. Rejected: to
// read each upload once more before it is put in its place, which costs the most where uploads are largest, and does not
// stop who writes after that. Where hosts lock for themselves alone (the mount options nolock and local_lock of NFS), two
// replicas can still write to one upload; wrong content is then found when it is first read, as any that is corrupt, because
// no upload is believed to be right for having been put in its place.
//
// Decision: the rules live in the driver, where all of distribution's handlers end, and not in middleware around each
// service. What the driver cannot see is in a small middleware of the repository: that a delete must reach a broken
// manifest, too, and that an upload which fails leaves nothing.
package storage
