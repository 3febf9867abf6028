// Package storage is the driver through which distribution's registry writes to a volume while a collection runs.
//
// Contract: the driver is registered with distribution as [Name] and serves one
// [volume.Volume]. Any number of processes may write to the volume and collect it at the
// same time. The driver answers as distribution's file system driver does, except that:
//
//   - Presence is deep (R1): a revision link is absent for every reader unless everything below it is present: its
//     manifest, its config and layers with their links and with the sizes that the manifest states, and likewise its
//     children. What clients skip because it is present is therefore complete, and what is incomplete is pushed again.
//   - In the mirror, and only if platforms are chosen, children of other platforms
//     may be missing below an index. A missing child is answered as missing.
//   - No push is lost (R2): each link is published first, and then everything below it is checked. A file that a
//     collection has hidden is restored. If a file is missing nevertheless, the push fails, and the client repeats it.
//     A link is never withdrawn, because another push may depend on it.
//   - A client that learns that a blob is present protects the blob: its layer link becomes young.
//   - A corrupt blob is set aside and absent from then on, so that a push brings it again. A blob is read and verified
//     if its size differs from the size in a manifest, when it is first served from its beginning to its end, and
//     before an upload is dropped because its content exists already.
//   - An upload has one writer at a time, and no writer once it is being
//     committed or is cancelled. Other requests are told to try again.
//   - An empty link is rewritten from its own path, an empty tag from its history.
//   - Only a few requests at a time have a large manifest in memory, and the uploads of a repository are bounded.
//   - The checks of one request share one limit of files and of bytes of manifests. A check that exceeds it refuses the
//     request; it never reports content as absent.
//   - Acknowledged content is on the disk, together with the folders that were created for it.
//
// Decision: no cache of descriptors, because it would answer for a file that a collection
// has removed meanwhile. Memory holds only what cannot change: what the manifest of a
// digest references, and that a file of a given size and time had the right content.
//
// Decision: the writer of an upload locks the same opening of the file that it writes to, and the last writer deletes
// the upload's "startedat" file before it releases the lock. The reason: the file becomes the content of all tenants
// while other requests may still have it open, and distribution hashes the bytes that it received, not the bytes in the
// file. Nothing outlives such a lock: it ends when the file is closed, also if the process is killed, and an NFS server
// refuses writes from a host whose lock has expired. Rejected: reading each upload again before it is committed,
// because that costs most for the largest uploads, and does not stop writes after that reading. If hosts lock only
// locally (the NFS mount options nolock and local_lock), two replicas can still write to one upload. The wrong content
// is then found when it is first read, like any corrupt blob, because a committed upload is not assumed to be right.
//
// Decision: the rules are in the driver, which all of distribution's handlers use, and not in
// middleware around each service. A small repository middleware adds what the driver cannot
// see: a delete must also reach a broken manifest, and a failed upload must leave nothing.
package storage
