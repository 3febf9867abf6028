// Package volume is the directory on a file system that all replicas of the registry share.
//
// Contract: a path begins with a slash, which is the volume's root; nothing outside is touched. Everything that the
// registry's own rules need is below /.nfo, beside distribution's tree, so that distribution can go on with the
// volume when nfo has gone. Each function may run in any number of processes at once: the file system's rename is the only
// thing that decides between two of them. No function but Lock, which is for the writers of one upload, takes a lock.
//
// A file is hidden by a rename into the trash of one collection (a cycle), and comes back by a rename. Anyone who misses
// a file looks into the trash and takes it back (Find): that is how a push and a collection that meet can both be
// right. Whatever comes back is young again, and never replaces a file that is there.
//
// Time is the volume's: a file is written, and its time read. The clock of a host is never compared with it.
//
// On a network file system what one process sees can be as old as Stale says. What is missing there is looked for a
// second time, after its folder was read again; a collection waits for longer than that between what it hides and
// what it decides.
//
// A volume that has no room can still be collected. Its time is asked for without a write, and what a collection needs to
// begin, such as the folders of its trash, takes the place of a reserve below /.nfo that is made again afterwards.
//
// Decision: hiding is not flushed to the disk. After a power cut a file is at either of its places, and from both it
// is found. Publishing is flushed with all folders that it made: an acknowledged push is one that a power cut keeps.
package volume
